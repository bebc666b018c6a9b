import math
from functools import cache

import jax
import pytest
from flax import linen as nn
from jax import numpy as jnp

from canon import models
from canon.analysis.summary import summarize
from canon.layers.convolution import ConvTranspose

# Stanford's CS231n, lecture on CNN architectures: VGGNet's layers, their memory in numbers, and weights without biases.
LECTURE = [
    ("conv1_1", (224, 224, 64), 3.2e6, 1_728),
    ("conv1_2", (224, 224, 64), 3.2e6, 36_864),
    ("pool1", (112, 112, 64), 800e3, 0),
    ("conv2_1", (112, 112, 128), 1.6e6, 73_728),
    ("conv2_2", (112, 112, 128), 1.6e6, 147_456),
    ("pool2", (56, 56, 128), 400e3, 0),
    ("conv3_1", (56, 56, 256), 800e3, 294_912),
    ("conv3_2", (56, 56, 256), 800e3, 589_824),
    ("conv3_3", (56, 56, 256), 800e3, 589_824),
    ("pool3", (28, 28, 256), 200e3, 0),
    ("conv4_1", (28, 28, 512), 400e3, 1_179_648),
    ("conv4_2", (28, 28, 512), 400e3, 2_359_296),
    ("conv4_3", (28, 28, 512), 400e3, 2_359_296),
    ("pool4", (14, 14, 512), 100e3, 0),
    ("conv5_1", (14, 14, 512), 100e3, 2_359_296),
    ("conv5_2", (14, 14, 512), 100e3, 2_359_296),
    ("conv5_3", (14, 14, 512), 100e3, 2_359_296),
    ("pool5", (7, 7, 512), 25e3, 0),
    ("fc6", (4096,), 4096, 102_760_448),
    ("fc7", (4096,), 4096, 16_777_216),
    ("fc8", (1000,), 1000, 4_096_000),
]
IMAGE = 150e3


@cache
def summary_of(name, **arguments):
    model = models.create(name, **arguments)
    return summarize(model, model.native_shape)


def test_vgg16_is_the_lectures_table_row_by_row():
    rows = summary_of("vgg16").rows
    assert [row.layer.name for row in rows] == [name for name, *_ in LECTURE]
    for row, (name, shape, activations, weights) in zip(rows, LECTURE, strict=True):
        assert row.layer.shape == shape, name
        assert row.layer.size == pytest.approx(activations, rel=0.02), name
        assert row.memory == 4 * row.layer.size, name
        assert row.layer.parameters.get("kernel", 0) == weights, name


def test_the_totals_of_vgg16_are_the_sums_of_the_lectures_rows():
    """Its 138M parameters are; the printed 24M numbers, 96 MB an image, are not: its rows sum to 15.2M, 61 MB."""
    summary = summary_of("vgg16")
    assert summary.activations == 224 * 224 * 3 + sum(math.prod(shape) for _, shape, _, _ in LECTURE) == 15_237_608
    assert summary.activations == pytest.approx(IMAGE + sum(activations for _, _, activations, _ in LECTURE), rel=0.005)
    assert summary.memory == 4 * summary.activations
    biases = sum(row.layer.parameters.get("bias", 0) for row in summary.rows)
    assert summary.parameters == sum(weights for *_, weights in LECTURE) + biases == 138_357_544


@pytest.mark.parametrize("name", models.names("image"))
def test_every_model_can_be_summarised_on_its_own_images_and_on_others(name):
    model = models.create(name)
    summary = summary_of(name)
    images = jax.ShapeDtypeStruct((1, *model.native_shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    assert summary.parameters == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))
    unused = [leaf for part in summary.unused for leaf in jax.tree.leaves(variables["params"][part])]
    used = summary.parameters - sum(math.prod(leaf.shape) for leaf in unused)
    assert sum(row.parameters for row in summary.rows) == used
    assert all(row.field for row in summary.rows)

    height, width, _ = model.native_shape
    other = summarize(model, (height + 16, width + 40, 1))
    assert other.rows[-1].layer.shape == summary.rows[-1].layer.shape == (model.num_classes,)
    assert [row.layer.name for row in other.rows] == [row.layer.name for row in summary.rows]
    assert other.multiply_adds > (0 if name == "mlp" else summary.multiply_adds)


@pytest.mark.parametrize("name", ["googlenet", "lenet5"])
def test_the_outputs_are_those_that_the_layers_make(name):
    model = models.create(name)
    images = jax.ShapeDtypeStruct((1, *model.native_shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    _, made = jax.eval_shape(lambda v, x: models.intermediates(model, v, x), variables, images)
    rows = summary_of(name).rows
    assert {row.layer.name: row.layer.shape for row in rows} == {
        row.layer.name: made[row.layer.name].shape[1:] for row in rows
    }


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("mlp", 3), ("alexnet", 8), ("zfnet", 8), ("alexnet_fig1", 4), ("vgg19", 19), ("googlenet", 22),
        ("cifar_resnet", 20), ("plain34", 34), ("resnet18", 18), ("resnet152", 152),
    ],
)  # fmt: skip
def test_depth_is_what_the_papers_count(name, depth):
    assert summary_of(name).depth == depth


def torch_flops(module, *shape):
    torch = pytest.importorskip("torch", reason="the independent count is PyTorch's")
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(torch.zeros(1, *shape, device="meta"))
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("name", "arguments", "factory", "other"),
    [
        ("vgg16", {}, "vgg", {"depth": 16}),
        ("resnet18", {}, "resnet", {"depth": 18}),
        ("resnet50", {}, "resnet", {"depth": 50, "stride_in": "1x1"}),
        ("resnet50", {"bottleneck_stride": "3x3"}, "resnet", {"depth": 50, "stride_in": "3x3"}),
        ("se_resnet50", {"bottleneck_stride": "3x3"}, "se_resnet50", {}),
        ("alexnet", {}, "alexnet", {}),
        ("alexnet_one_column", {}, "alexnet_one_column", {}),
        ("zfnet", {}, "zfnet", {}),
        ("googlenet", {}, "googlenet", {"form": "paper"}),
        ("cifar_resnet", {"remat": True}, "cifar_resnet", {"depth": 20}),
    ],
)
def test_multiply_adds_are_half_of_the_operations_that_pytorch_counts(name, arguments, factory, other):
    torch = pytest.importorskip("torch", reason="the independent count is PyTorch's")
    from benchmarks import torch_networks

    with torch.device("meta"):
        module = getattr(torch_networks, factory)(**other)
    height, width, channels = models.create(name).native_shape
    assert 2 * summary_of(name, **arguments).multiply_adds == torch_flops(module, channels, height, width)


class Enlarging(nn.Module):
    @nn.compact
    def __call__(self, x):
        return ConvTranspose(6, (4, 5), (2, 3), padding=(1, 0), feature_group_count=2)(x)


def test_a_transposed_convolution_costs_nothing_for_the_zeros_between_its_inputs():
    torch = pytest.importorskip("torch", reason="the independent count is PyTorch's")
    with torch.device("meta"):
        module = torch.nn.ConvTranspose2d(4, 6, (4, 5), (2, 3), padding=(1, 0), groups=2)
    assert 2 * summarize(Enlarging(), (8, 7, 4)).multiply_adds == torch_flops(module, 4, 8, 7)


class Attention(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.MultiHeadDotProductAttention(2, use_bias=False)(x, x) @ jnp.ones((4, 3))


def test_what_is_computed_between_layers_counts_too():
    summary = summarize(Attention(), (16, 4))
    projections, scores, outside = 4 * 16 * 4 * 4, 2 * 16 * 16 * 4, 16 * 4 * 3
    assert sum(row.multiply_adds for row in summary.rows) == projections
    assert summary.multiply_adds == projections + scores + outside


def test_nothing_is_computed_or_allocated_so_that_a_network_may_be_larger_than_any_memory():
    million = 10**6
    before = len(jax.live_arrays())
    summary = summarize(models.create("mlp", hidden=(million, million)), (million, million, 3))
    assert len(jax.live_arrays()) == before
    assert summary.parameters == 3 * million**3 + million + million**2 + million + 10 * million + 10


def test_bfloat16_halves_the_memory_of_all_but_the_logits():
    for full, half in zip(summary_of("vgg16").rows, summary_of("vgg16", dtype="bfloat16").rows, strict=True):
        assert full.memory == half.memory * (1 if full.layer.name == "fc8" else 2)
        assert full.parameters == half.parameters


class Plain(nn.Module):
    """As a user may write one: without names, with a parameter of its own, and with a layer used twice."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(8, (3, 3), strides=2)(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        twice = nn.Dense(4 * 4 * 8)
        x = twice(nn.relu(twice(x.reshape(x.shape[0], -1))))
        return nn.Dense(10)(x) + self.param("shift", nn.initializers.zeros, (10,))


def test_a_network_of_the_users_own_can_be_summarised():
    summary = summarize(Plain(), (16, 16, 3))
    assert [(row.layer.name, row.layer.shape) for row in summary.rows] == [
        ("Conv_0", (8, 8, 8)),
        ("Dense_0", (128,)),
        ("Dense_0", (128,)),
        ("Dense_1", (10,)),
    ]
    assert summary.parameters == (27 * 8 + 8) + (128 * 128 + 128) + (128 * 10 + 10) + 10
    assert summary.multiply_adds == 64 * 27 * 8 + 2 * 128 * 128 + 128 * 10
    assert summary.depth == 4
    assert summary.unused == {}
