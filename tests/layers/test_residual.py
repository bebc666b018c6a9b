from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.residual import BasicBlock, BottleneckBlock, zero_padded_identity


@pytest.mark.parametrize("size", [4, 5])
def test_option_a_keeps_every_second_pixel_and_adds_zeros(size, random):
    x = jnp.asarray(random.normal(size=(2, size, size, 3)), jnp.float32)
    y = zero_padded_identity(x, features=7, stride=2)
    assert y.shape == (2, (size + 1) // 2, (size + 1) // 2, 7)
    np.testing.assert_array_equal(y[..., :3], x[:, ::2, ::2])
    assert (y[..., 3:] == 0).all()


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("kind", "features"),
    [
        (BasicBlock, 8),
        (partial(BottleneckBlock, stride_in="1x1"), 32),
        (partial(BottleneckBlock, stride_in="3x3"), 32),
    ],
    ids=["basic", "bottleneck 1x1", "bottleneck 3x3"],
)
def test_shortcut_and_convolutions_agree_on_the_shape(kind, features, shortcut, stride):
    block = kind(features=8, stride=stride, shortcut=shortcut)
    x = np.zeros((2, 5, 6, 4), np.float32)
    y, _ = jax.eval_shape(block.init_with_output, jax.random.key(0), x)
    assert y.shape == (2, -(-5 // stride), -(-6 // stride), features)


@pytest.mark.parametrize(("kind", "channels"), [(BasicBlock, 8), (BottleneckBlock, 32)])
@pytest.mark.parametrize("reduction", [0, 4])
def test_a_block_whose_convolutions_are_zero_is_the_identity_with_a_shortcut_and_nothing_without(
    kind, channels, reduction, random
):
    x = random.uniform(size=(2, 4, 4, channels)).astype(np.float32)
    for shortcut, expected in (("A", x), ("B", x), ("none", np.zeros_like(x))):
        block = kind(features=8, shortcut=shortcut, reduction=reduction)
        shapes = jax.eval_shape(block.init, jax.random.key(0), x)
        silent = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        np.testing.assert_array_equal(jax.jit(block.apply)(silent, x), expected)


@pytest.mark.parametrize(
    ("kind", "shortcut", "stride", "channels", "projects"),
    [
        (BasicBlock, "A", 2, 4, False),
        (BasicBlock, "B", 1, 8, False),
        (BasicBlock, "B", 2, 8, True),
        (BasicBlock, "B", 1, 4, True),
        (BasicBlock, "C", 1, 8, True),
        (BasicBlock, "none", 2, 4, False),
        (BottleneckBlock, "B", 1, 32, False),
        (BottleneckBlock, "B", 1, 8, True),  # four times as many features as the block is named for
        (BottleneckBlock, "C", 1, 32, True),
    ],
)
def test_only_a_shortcut_that_says_so_projects(kind, shortcut, stride, channels, projects):
    block = kind(features=8, stride=stride, shortcut=shortcut)
    params = jax.eval_shape(block.init, jax.random.key(0), np.zeros((1, 4, 4, channels), np.float32))["params"]
    assert ("projection" in params) == projects


def torch_block(torch, block, x, params, statistics, train):
    """A residual block by PyTorch's operations, on channels first and with our parameters."""
    functional = torch.nn.functional

    def conv(name, x, stride=1):
        kernel = params[name]["kernel"].permute(3, 2, 0, 1)
        return functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def norm(name, x):
        mean, var = (torch.tensor(statistics[name][key]) for key in ("mean", "var"))
        return functional.batch_norm(x, mean, var, params[name]["scale"], params[name]["bias"], train)

    x = x.permute(0, 3, 1, 2)
    if isinstance(block, BottleneckBlock):
        strides = {"1x1": (block.stride, 1), "3x3": (1, block.stride)}[block.stride_in]
        y = functional.relu(norm("norm1", conv("conv1", x, strides[0])))
        y = functional.relu(norm("norm2", conv("conv2", y, strides[1])))
        y = norm("norm3", conv("conv3", y))
    else:
        y = functional.relu(norm("norm1", conv("conv1", x, block.stride)))
        y = norm("norm2", conv("conv2", y))
    if block.reduction:
        reduce, expand = params["gate"]["reduce"], params["gate"]["expand"]
        z = functional.relu(y.mean((2, 3)) @ reduce["kernel"] + reduce["bias"])
        y = y * torch.sigmoid(z @ expand["kernel"] + expand["bias"])[:, :, None, None]
    if "projection" in params:
        x = norm("projection_norm", conv("projection", x, block.stride))
    elif block.shortcut == "A":
        x = x[:, :, :: block.stride, :: block.stride]
        x = functional.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
    return functional.relu(y if block.shortcut == "none" else x + y).permute(0, 2, 3, 1)


def random_variables(random, block, x):
    """Statistics, scales and biases as a trained network has them, not ones and zeros."""
    shapes = jax.eval_shape(block.init, jax.random.key(0), x.astype(np.float32))
    return (
        jax.tree.map(lambda leaf: random.normal(size=leaf.shape), shapes["params"]),
        jax.tree.map(lambda leaf: random.uniform(0.5, 2, leaf.shape), shapes["batch_stats"]),
    )


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    "block",
    [
        BasicBlock(features=4, stride=2, shortcut="A", reduction=2),
        BasicBlock(features=4, stride=2, shortcut="B"),
        BottleneckBlock(features=2, stride=2, shortcut="B", stride_in="1x1"),
        BottleneckBlock(features=2, stride=2, shortcut="B", stride_in="3x3", reduction=4),
        BottleneckBlock(features=2, stride=2, shortcut="A", stride_in="3x3"),
        BottleneckBlock(features=2, shortcut="C"),
        BottleneckBlock(features=2, stride=2, shortcut="none"),
    ],
    ids=lambda block: f"{type(block).__name__} {block.shortcut} {getattr(block, 'stride_in', '')} {block.reduction}",
)
def test_a_block_equals_pytorch_in_values_and_gradients(block, train, torch, assert_equals_torch, random):
    x = random.normal(size=(3, 5, 4, 3))
    params, statistics = random_variables(random, block, x)

    def ours(x, params):
        variables = {"params": params, "batch_stats": jax.tree.map(jnp.asarray, statistics)}
        return block.apply(variables, x, train=train, mutable=["batch_stats"])[0]

    with jax.numpy_dtype_promotion("standard"):  # Flax mixes in a float32
        assert_equals_torch(
            ours,
            lambda x, params: torch_block(torch, block, x, params, statistics, train),
            x,
            params,
            rtol=1e-7,  # the gradient of a bias before a norm is a sum that cancels
            atol=1e-8,
        )


def test_the_stride_in_the_first_convolution_or_in_the_second_is_another_function_of_the_same_parameters(random):
    x = random.normal(size=(2, 6, 6, 3)).astype(np.float32)
    results = []
    for stride_in in ("1x1", "3x3"):
        block = BottleneckBlock(features=2, stride=2, shortcut="B", stride_in=stride_in)
        params, statistics = random_variables(np.random.default_rng(0), block, x)
        variables = jax.tree.map(lambda a: a.astype(np.float32), {"params": params, "batch_stats": statistics})
        results.append(jax.jit(block.apply)(variables, x))
    assert results[0].shape == results[1].shape
    assert np.abs(results[0] - results[1]).max() > 0.1


@pytest.mark.parametrize("kind", [BasicBlock, BottleneckBlock])
def test_training_moves_every_running_statistic_and_evaluation_none(kind, random):
    x = random.normal(size=(4, 4, 4, 3)).astype(np.float32)
    block = kind(features=2, stride=2, shortcut="B")
    params, statistics = random_variables(random, block, x)
    variables = jax.tree.map(lambda a: a.astype(np.float32), {"params": params, "batch_stats": statistics})
    before = variables["batch_stats"]

    @partial(jax.jit, static_argnames="train")
    def after(train):
        return block.apply(variables, x, train=train, mutable=["batch_stats"])[1]["batch_stats"]

    jax.tree.map(np.testing.assert_array_equal, before, after(train=False))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).all()), before, after(train=True))))


@pytest.mark.parametrize("kind", [BasicBlock, BottleneckBlock])
def test_an_unknown_shortcut_is_refused(kind):
    with pytest.raises(UserError, match="not 'a'"):
        kind(features=8, shortcut="a").init(jax.random.key(0), jnp.zeros((1, 4, 4, 8)))


def test_an_unknown_place_of_the_stride_is_refused_with_those_there_are():
    with pytest.raises(UserError, match="must be one of 1x1, 3x3, not '2x2'"):
        BottleneckBlock(features=8, stride_in="2x2").init(jax.random.key(0), jnp.zeros((1, 4, 4, 8)))


@pytest.mark.parametrize("kind", [BasicBlock, BottleneckBlock])
def test_a_gate_that_does_not_divide_the_channels_is_refused_with_its_place(kind, shape_in_a_network):
    with pytest.raises(UserError, match="layer stage2/inner/gate: reduction 5 does not divide"):
        shape_in_a_network(partial(kind, features=8, reduction=5), (1, 8, 8, 4))
