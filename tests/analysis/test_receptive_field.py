import math
from functools import cache, partial

import jax
import numpy as np
import pytest
from flax import linen as nn
from jax import numpy as jnp

from canon import models
from canon.analysis.receptive_field import receptive_fields
from canon.layers.convolution import Conv
from canon.layers.pooling import MaxPool


@pytest.mark.parametrize(
    ("name", "layer", "size", "padding"),
    [
        ("alexnet", "pool5", 195, 64),
        ("vgg16", "pool5", 212, 90),
        ("resnet50", "stage4_block3", 483, 241),
        ("resnet101", "stage4_block3", 1027, 513),
        ("resnet152", "stage4_block3", 1507, 753),
    ],
)
def test_fields_are_those_of_the_table_of_araujo_norris_and_sim(name, layer, size, padding):
    """Their table has 239, 511 and 751 as the residual nets' padding: TensorFlow pads more behind than before."""
    field = fields_of(name)[layer]
    assert (field.size, field.stride, field.padding) == ((size, size), (32, 32), (padding, padding))


@cache
def fields_of(name, **arguments):
    model = models.create(name, **arguments)
    return receptive_fields(model, model.native_shape)


def size_of_chain(windows):
    """Araujo et al., equation 2: 1 + Σ (kernel − 1) Π strides before it."""
    return 1 + sum((k - 1) * math.prod(s for _, s in windows[:i]) for i, (k, _) in enumerate(windows))


def test_googlenet_sees_along_its_widest_branches():
    widest = [(7, 2), (3, 2), (3, 1), (3, 2), *[(5, 1)] * 2, (3, 2), *[(5, 1)] * 5, (3, 2), *[(5, 1)] * 2]
    fields = fields_of("googlenet")
    assert (
        fields["inception5b"].size == fields["inception5b/branch3"].size == (size_of_chain(widest),) * 2 == (715,) * 2
    )
    assert fields["inception5b/branch1"].size == (size_of_chain(widest[:-1]),) * 2


def test_a_stride_in_the_3x3_convolution_makes_the_fields_of_bottlenecks_smaller():
    stages = (
        [(7, 2), (3, 2)] + [(3, 1)] * 3 + [(3, 2)] + [(3, 1)] * 3 + [(3, 2)] + [(3, 1)] * 5 + [(3, 2)] + [(3, 1)] * 2
    )
    size = fields_of("resnet50", bottleneck_stride="3x3")["stage4_block3"].size
    assert size == (size_of_chain(stages),) * 2 == (427, 427)


class Network(nn.Module):
    """A network of one function, which may call layers."""

    function: object

    @nn.compact
    def __call__(self, x):
        return self.function(x)


def field_of(function, shape, layer="end"):
    return receptive_fields(Network(function), shape)[layer]


def test_windows_that_are_not_square_see_less_along_one_axis():
    def two(x):
        x = MaxPool((2, 3), (1, 3), name="pool")(Conv(1, (3, 5), strides=(2, 1), padding=((0, 1), (2, 2)))(x))
        return Conv(1, (3, 1), padding=0, name="end")(x)

    field = field_of(two, (40, 40, 1))
    assert field.size == (3 + 2 + 4, 5 + 2)
    assert field.stride == (2, 3)
    assert field.padding == (0, 2)


@pytest.mark.parametrize("axes", [1, 3])
def test_sequences_and_volumes_have_fields_too(axes):
    conv = partial(Conv, 1, tuple(range(3, 3 + axes)), padding="half")
    field = field_of(lambda x: conv(name="end")(conv(strides=2)(x)), (20,) * axes + (1,))
    assert field.size == tuple(k + 2 * (k - 1) for k in range(3, 3 + axes))
    assert field.stride == (2,) * axes


def test_axes_that_change_places_keep_their_fields():
    turn = partial(jnp.swapaxes, axis1=1, axis2=2)
    field = field_of(lambda x: Conv(1, (1, 3), name="end")(turn(Conv(1, (1, 5), strides=(1, 2))(x))), (30, 40, 1))
    assert (field.size, field.stride) == ((3, 5), (1, 2))


def test_a_gate_shows_the_whole_image_besides():
    gated = fields_of("se_resnet50")
    plain = fields_of("resnet50")
    for name, field in plain.items():
        assert (gated[name].size, gated[name].stride) == (field.size, field.stride)
        assert not field.sees_all
        assert gated[name].sees_all == (name.startswith("stage") and not name.startswith("stage1_block1/")) or (
            name in ("stage1_block1/relu", "pool2", "dropout", "classifier")
        )


@pytest.mark.parametrize(
    ("name", "first", "positions", "last"),
    [("vgg16", "pool5", 7, "fc6"), ("lenet5_modern", "pool2", 5, "fc3"), ("lenet5", "C5", 1, "F6")],
)
def test_behind_the_positions_there_is_no_stride(name, first, positions, last):
    before, after = fields_of(name)[first], fields_of(name)[last]
    assert before.stride is not None
    assert after.stride is None
    assert after.size == tuple(size + (positions - 1) * s for size, s in zip(before.size, before.stride, strict=True))


def test_what_a_prediction_does_not_compute_is_not_in_the_result():
    fields = fields_of("googlenet")
    assert "classifier" in fields
    assert not [name for name in fields if name.startswith("auxiliary")]


def test_what_does_not_depend_on_the_image_has_no_field():
    fields = receptive_fields(Network(lambda x: nn.Dense(2)(x) + nn.Dense(2, name="end")(jnp.ones((1, 1)))), (7, 3))
    assert list(fields) == ["Dense_0"]


@pytest.mark.parametrize("name", ["cifar_resnet", "resnet18", "vgg11", "googlenet"])
def test_computing_blocks_again_changes_no_field(name):
    assert fields_of(name, remat=True) == fields_of(name)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: jnp.cumsum(x, axis=1),
        lambda x: jnp.flip(x, axis=1),
        lambda x: jnp.sort(x, axis=1),
        lambda x: jnp.roll(x, 3, axis=1),
        lambda x: x - x.mean(axis=1, keepdims=True),
        lambda x: x[:, :10] + x[:, ::2],  # strides that differ
        lambda x: x + jnp.swapaxes(x @ jnp.swapaxes(x, 1, 2), 1, 2)[..., :3],
        lambda x: nn.MultiHeadDotProductAttention(3)(x, x),
    ],
    ids=["sum", "flip", "sort", "roll", "mean", "strides", "products", "attention"],
)
def test_what_mixes_positions_is_taken_to_see_the_whole_image(mix):
    field = field_of(lambda x: nn.Dense(2, name="end")(mix(x)), (20, 3))
    assert field.sees_all or field.size[0] >= 19


def test_reductions_of_a_kind_of_their_own_are_windows_like_others():
    def product(x):
        x = jax.lax.reduce_window(x, np.float32(1), jax.lax.mul, (1, 3, 1), (1, 2, 1), "VALID")
        return nn.Dense(1, name="end")(jax.lax.reduce_precision(x, 8, 7))

    field = field_of(product, (20, 3))
    assert (field.size, field.stride) == ((3,), (2,))
