from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.pooling import AdaptiveAvgPool, AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool, max_over_time

PADDINGS = ["VALID", "SAME", "symmetric", "pairs", "ceil_mode"]


def numbers(draw, axes, least, most):
    return tuple(draw(st.lists(st.integers(least, most), min_size=axes, max_size=axes)))


def shorten(numbers):
    """One number where all are alike: both spellings are tested."""
    return numbers[0] if len(set(numbers)) == 1 else numbers


@st.composite
def pools(draw, kind):
    """A size in 1 to 3 dimensions, and window, strides and (before, after) of each axis, with a padding of a kind."""
    axes = draw(st.integers(1, 3))
    window, strides = numbers(draw, axes, 1, 4), numbers(draw, axes, 1, 5)
    pairs = [(0, 0)] * axes
    if kind in ("symmetric", "ceil_mode"):  # half a window at most, as PyTorch demands
        pairs = [(p, p) for p in (draw(st.integers(0, f // 2)) for f in window)]
    if kind == "pairs":
        pairs = [numbers(draw, 2, 0, f - 1) for f in window]
    least = {
        "SAME": [1] * axes,
        "pairs": [max(f - sum(p), 1) for f, p in zip(window, pairs, strict=True)],
    }.get(kind, window)  # without its padding, as PyTorch demands of averages in 3 dimensions
    size = [n + more for n, more in zip(least, numbers(draw, axes, 0, 5), strict=True)]
    if kind == "SAME":  # by the formula of TensorFlow's documentation of `tf.nn`
        total = [max((-(-n // s) - 1) * s + f - n, 0) for n, f, s in zip(size, window, strides, strict=True)]
        pairs = [(t // 2, t - t // 2) for t in total]
    return tuple(size), window, strides, tuple(pairs)


def build(layer, kind, window, strides, pairs, **kwargs):
    """The layer, in the shortest spelling; windows that tile the input need no strides."""
    padding = kind
    if kind in ("symmetric", "ceil_mode"):
        padding = shorten(tuple(before for before, _ in pairs))
    elif kind == "pairs":
        padding = pairs
    strides = None if strides == window else shorten(strides)
    return layer(shorten(window), strides, padding=padding, ceil_mode=kind == "ceil_mode", **kwargs)


def torch_pool(torch, name, x, kind, window, strides, pairs, fill, **kwargs):
    """PyTorch's pool of an input with its channels in front; padding that it does not have is laid around before."""
    x = x.movedim(-1, 1)
    padding = [before for before, _ in pairs]
    if kind in ("SAME", "pairs"):
        x = torch.nn.functional.pad(x, [p for pair in reversed(pairs) for p in pair], value=fill)
        padding = 0
    pool = getattr(torch.nn.functional, f"{name}_pool{len(window)}d")
    return pool(x, window, strides, padding, ceil_mode=kind == "ceil_mode", **kwargs).movedim(1, -1)


def continuous(size):
    """Values without ties, whose gradient would be anybody's choice."""
    return np.random.default_rng(0).normal(size=(2, *size, 2))


@pytest.mark.parametrize("kind", PADDINGS)
@given(data=st.data())
@settings(max_examples=5)
def test_max_pool_equals_pytorch_for_every_window_stride_and_padding(kind, data, torch, assert_equals_torch):
    size, *geometry = data.draw(pools(kind))
    assert_equals_torch(
        partial(build(MaxPool, kind, *geometry).apply, {}),
        lambda x: torch_pool(torch, "max", x, kind, *geometry, fill=-np.inf),
        continuous(size),
    )


@pytest.mark.parametrize("kind", PADDINGS)
@given(data=st.data())
@settings(max_examples=5)
def test_average_pool_equals_pytorch_and_counts_no_padding(kind, data, torch, assert_equals_torch):
    size, *geometry = data.draw(pools(kind))

    def theirs(x):
        if kind not in ("SAME", "pairs"):
            return torch_pool(torch, "avg", x, kind, *geometry, fill=0, count_include_pad=False)
        share = torch_pool(torch, "avg", torch.ones_like(x), kind, *geometry, fill=0)  # of each window, inside
        return torch_pool(torch, "avg", x, kind, *geometry, fill=0) / share

    assert_equals_torch(partial(build(AvgPool, kind, *geometry).apply, {}), theirs, continuous(size))


@pytest.mark.parametrize("kind", ["VALID", "SAME", "symmetric", "pairs"])
@given(data=st.data())
@settings(max_examples=4)
def test_average_pool_equals_pytorch_where_padding_counts_as_zeros(kind, data, torch, assert_equals_torch):
    size, *geometry = data.draw(pools(kind))
    assert_equals_torch(
        partial(build(AvgPool, kind, *geometry, count_include_pad=True).apply, {}),
        lambda x: torch_pool(torch, "avg", x, kind, *geometry, fill=0, count_include_pad=True),
        continuous(size),
    )


@given(size=st.integers(1, 30), window=st.integers(1, 5), stride=st.integers(1, 7), data=st.data())
@settings(max_examples=100)
def test_rounding_sizes_up_gives_pytorchs_sizes_for_every_stride(size, window, stride, data, torch):
    padding = data.draw(st.integers(0, window // 2))
    size = max(size, window - 2 * padding - stride + 1)  # the least that leaves one window, rounded up
    ours = jax.eval_shape(
        MaxPool(window, stride, padding, ceil_mode=True).apply, {}, np.zeros((1, size, 1), np.float32)
    )
    theirs = torch.nn.functional.max_pool1d(torch.zeros(1, 1, size), window, stride, padding, ceil_mode=True)
    assert ours.shape[1] == theirs.shape[-1]


@pytest.mark.parametrize("dtype", [np.int32, np.int8, np.uint8])
def test_max_pool_of_integers_is_that_of_the_same_numbers_and_padding_never_wins(dtype, random):
    limits = np.iinfo(dtype)
    x = random.integers(limits.min, limits.min + 100, (2, 5, 5, 3)).astype(dtype)  # below zero, if signed
    pool = MaxPool(3, 2, padding=1)
    y = pool.apply({}, jnp.asarray(x))
    assert y.dtype == dtype
    with jax.enable_x64(True):
        np.testing.assert_array_equal(y, pool.apply({}, jnp.asarray(x, jnp.float64)))


def test_the_gradient_of_a_sum_through_an_average_pool_that_tiles_is_the_same_everywhere(random):
    x = jnp.asarray(random.normal(size=(1, 6, 4, 2)), jnp.float32)
    gradient = jax.grad(lambda x: AvgPool((3, 2)).apply({}, x).sum())(x)
    np.testing.assert_allclose(gradient, np.full(x.shape, 1 / 6), rtol=1e-6)


@pytest.mark.parametrize("include", [False, True])
def test_the_mean_of_a_large_window_of_bfloat16_is_not_lost_in_rounding(include, random):
    x = jnp.asarray(random.uniform(1, 2, size=(1, 32, 32, 1)), jnp.bfloat16)
    y = AvgPool(32, count_include_pad=include).apply({}, x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(y, np.float64).item(), np.asarray(x, np.float64).mean(), rtol=2**-8)


@pytest.mark.parametrize("layer", [MaxPool, AvgPool])
@pytest.mark.parametrize("padding", [2, (0, 2), ((0, 0), (3, 0))])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_windows_that_would_see_padding_alone_are_refused_with_the_layers_place(
    layer, padding, ceil_mode, shape_in_a_network
):
    pool = partial(layer, 2, padding=padding, ceil_mode=ceil_mode)
    with pytest.raises(UserError, match="layer stage2/inner: a window that sees padding alone"):
        shape_in_a_network(pool, (1, 8, 8, 3))


@pytest.mark.parametrize("layer", [MaxPool, AvgPool])
def test_a_window_larger_than_what_is_left_of_the_image_is_refused_with_the_layers_place(layer, shape_in_a_network):
    with pytest.raises(UserError, match="layer stage2/inner: its window of 3×5 does not fit into the 4×4"):
        shape_in_a_network(partial(layer, (3, 5)), (1, 8, 8, 3))
    assert shape_in_a_network(partial(layer, (3, 5)), (1, 8, 10, 3)) == (1, 1, 1, 3)


@pytest.mark.parametrize("layer", [MaxPool, AvgPool])
def test_rounding_sizes_up_a_window_may_reach_beyond_a_smaller_map_by_less_than_a_stride(layer, shape_in_a_network):
    pool = partial(layer, 5, 2, ceil_mode=True)
    assert shape_in_a_network(pool, (1, 8, 8, 3)) == (1, 1, 1, 3)
    with pytest.raises(UserError, match="layer stage2/inner: its window of 5×5 does not fit into the 3×3"):
        shape_in_a_network(pool, (1, 6, 6, 3))


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (partial(MaxPool, 2, padding="SAME", ceil_mode=True), "ceil_mode goes with explicit padding, not SAME"),
        (partial(AvgPool, 2, count_include_pad=True, ceil_mode=True), "count_include_pad does not go with ceil_mode"),
    ],
)
def test_options_that_contradict_each_other_are_refused_with_the_layers_place(pool, message, shape_in_a_network):
    with pytest.raises(UserError, match=f"layer stage2/inner: {message}"):
        shape_in_a_network(pool, (1, 8, 8, 3))


@given(size=st.lists(st.integers(1, 7), min_size=1, max_size=3), data=st.data())
@settings(max_examples=10)
def test_adaptive_pool_equals_pytorch_for_every_pair_of_sizes(size, data, torch, assert_equals_torch):
    wanted = numbers(data.draw, len(size), 1, 5)
    pool = getattr(torch.nn.functional, f"adaptive_avg_pool{len(size)}d")
    assert_equals_torch(
        partial(AdaptiveAvgPool(wanted).apply, {}),
        lambda x: pool(x.movedim(-1, 1), wanted).movedim(1, -1),
        continuous(size),
    )


@pytest.mark.parametrize("size", [(5,), (3, 4), (2, 3, 2)], ids=len)
def test_global_pools_are_pytorchs_adaptive_pools_of_size_one(size, torch, assert_equals_torch):
    for layer, name in ((GlobalAvgPool(), "avg"), (GlobalMaxPool(), "max")):
        pool = getattr(torch.nn.functional, f"adaptive_{name}_pool{len(size)}d")
        assert_equals_torch(
            partial(layer.apply, {}), lambda x, pool=pool: pool(x.movedim(-1, 1), 1).flatten(1), continuous(size)
        )


@given(lengths=st.lists(st.integers(1, 6), min_size=3, max_size=3), largest=st.sampled_from([-5.0, 0.0, 5.0]))
@settings(max_examples=15)
def test_max_over_time_sees_only_the_steps_inside_and_so_does_its_gradient(lengths, largest):
    x = np.random.default_rng(0).uniform(largest - 1, largest, (len(lengths), 6, 3))
    for row, length in zip(x, lengths, strict=True):
        row[length:] += 100  # would win
    expected, inside = np.empty((len(lengths), 3)), np.zeros(x.shape)
    for i, length in enumerate(lengths):
        for j in range(3):
            step = max(range(length), key=lambda t: x[i, t, j])
            expected[i, j] = x[i, step, j]
            inside[i, step, j] = 1
    with jax.enable_x64(True):
        y, pull = jax.vjp(lambda x: max_over_time(x, jnp.asarray(lengths)), jnp.asarray(x))
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(pull(jnp.ones_like(y))[0], inside)


def test_max_over_time_without_lengths_counts_every_step(random):
    x = random.normal(size=(2, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(max_over_time(jnp.asarray(x)), x.max(axis=1))
    np.testing.assert_array_equal(max_over_time(jnp.asarray(x), jnp.array([5, 5])), x.max(axis=1))
