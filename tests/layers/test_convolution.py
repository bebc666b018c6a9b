from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.convolution import Conv, ConvTranspose

PADDINGS = ["int", "per axis", "pairs", "SAME", "VALID", "half", "full"]
FEATURES = 2  # of each group


def numbers(draw, axes, least, most):
    return tuple(draw(st.lists(st.integers(least, most), min_size=axes, max_size=axes)))


def shorten(numbers):
    """One number where all are alike: both spellings are tested."""
    return numbers[0] if len(set(numbers)) == 1 else numbers


@st.composite
def arguments(draw, kind):
    """A convolution's arguments in 1 to 3 dimensions, with a padding of a kind."""
    axes = draw(st.integers(1, 3))
    amount = {
        "int": draw(st.integers(0, 2)),
        "per axis": numbers(draw, axes, 0, 2),
        "pairs": tuple(numbers(draw, 2, 0, 2) for _ in range(axes)),
    }
    return {
        "kernel_size": numbers(draw, axes, 1, 3),
        "strides": shorten(numbers(draw, axes, 1, 3)),
        "kernel_dilation": shorten(numbers(draw, axes, 1, 2)),
        "padding": amount.get(kind, kind),
        "feature_group_count": draw(st.integers(1, 3)),
    }


def each_axis(value, axes):
    return (value,) * axes if isinstance(value, int) else value


def dilated_window(kernel_size, kernel_dilation, **_):
    return [d * (f - 1) + 1 for f, d in zip(kernel_size, each_axis(kernel_dilation, len(kernel_size)), strict=True)]


def zeros_around(padding, size, window, strides):
    """(before, after) for each axis; SAME by the formula of TensorFlow's documentation of `tf.nn`."""
    if padding == "SAME":
        total = [max((-(-n // s) - 1) * s + f - n, 0) for n, f, s in zip(size, window, strides, strict=True)]
        return [(t // 2, t - t // 2) for t in total]
    amount = {"VALID": [0] * len(window), "half": [f // 2 for f in window], "full": [f - 1 for f in window]}
    padding = amount[padding] if isinstance(padding, str) else each_axis(padding, len(window))
    return [each_axis(p, 2) for p in padding]


def forgotten(size, window, strides, pairs):
    """How many rows at the far end of each axis no window reaches: the transpose's output padding."""
    return tuple((n + sum(p) - f) % s for n, f, s, p in zip(size, window, strides, pairs, strict=True))


def assume_xla_survives(window, strides, pairs, extra):
    """No transpose of an axis that XLA, swapping map and kernel on the CPU, mistakes for a group: it aborts."""
    for f, s, (lo, hi), e in zip(window, strides, pairs, extra, strict=True):
        assume(not (f == s == 2 and lo == 1 and hi - e == 1))


def torch_conv(torch, x, kernel, bias, kernel_size, strides, padding, kernel_dilation, feature_group_count):
    """Ours by PyTorch's operation: channels move to the front, and kernels from [*, in, out] to [out, in, *]."""
    axes = len(kernel_size)
    window = dilated_window(kernel_size, kernel_dilation)
    pairs = zeros_around(padding, x.shape[1:-1], window, each_axis(strides, axes))
    symmetric = all(before == after for before, after in pairs)
    x = x.movedim(-1, 1)
    if not symmetric:
        x = torch.nn.functional.pad(x, [p for pair in reversed(pairs) for p in pair])
    return getattr(torch.nn.functional, f"conv{axes}d")(
        x,
        kernel.movedim((-1, -2), (0, 1)),
        bias,
        stride=strides,
        padding=[before for before, _ in pairs] if symmetric else 0,
        dilation=kernel_dilation,
        groups=feature_group_count,
    ).movedim(1, -1)


def torch_conv_transpose(
    torch, x, kernel, bias, kernel_size, strides, padding, kernel_dilation, feature_group_count, output_padding
):
    """Ours by PyTorch's operation, which takes kernels as [in, out of the group, *]."""
    axes, groups = len(kernel_size), feature_group_count
    window, stride = dilated_window(kernel_size, kernel_dilation), each_axis(strides, axes)
    same = [n * s for n, s in zip(x.shape[1:-1], stride, strict=True)]
    pairs = zeros_around(padding, same, window, stride)
    weight = kernel.unflatten(-1, (groups, -1)).movedim((-2, -3, -1), (0, 1, 2)).flatten(0, 1)
    transpose = partial(
        getattr(torch.nn.functional, f"conv_transpose{axes}d"),
        x.movedim(-1, 1),
        weight,
        bias,
        stride=strides,
        dilation=kernel_dilation,
        groups=groups,
    )
    before = [lo for lo, _ in pairs]
    if padding == "SAME":  # which PyTorch lacks: the largest result, cut at its far end
        y = transpose(padding=before, output_padding=[s - 1 for s in stride]).movedim(1, -1)
        return y[(slice(None), *(slice(n) for n in same))]
    if all(lo == hi for lo, hi in pairs):
        return transpose(padding=before, output_padding=output_padding).movedim(1, -1)
    y = transpose(output_padding=output_padding).movedim(1, -1)
    return y[(slice(None), *(slice(lo, n - hi) for n, (lo, hi) in zip(y.shape[1:-1], pairs, strict=True)))]


def parameters(random, layer, channels):
    """Random parameters of the documented shapes; Flax refuses to apply a layer to others."""
    kernel = (*layer.kernel_size, channels // layer.feature_group_count, layer.features)
    return random.normal(size=kernel), random.normal(size=layer.features)


def apply(layer, x, kernel, bias):
    return layer.apply({"params": {"kernel": kernel, "bias": bias}}, x)


@pytest.mark.parametrize("kind", PADDINGS)
@given(data=st.data())
@settings(max_examples=5)
def test_convolution_equals_pytorch_for_every_padding_stride_dilation_and_group(kind, data, torch, assert_equals_torch):
    kwargs = data.draw(arguments(kind))
    window, axes, groups = dilated_window(**kwargs), len(kwargs["kernel_size"]), kwargs["feature_group_count"]
    padding = [(f, 0) for f in window] if kind == "SAME" else zeros_around(kwargs["padding"], None, window, None)
    size = [
        max(f - before - after, 1) + extra
        for f, (before, after), extra in zip(window, padding, numbers(data.draw, axes, 0, 3), strict=True)
    ]
    strides = each_axis(kwargs["strides"], axes)
    pairs = zeros_around(kwargs["padding"], size, window, strides)
    assume_xla_survives(window, strides, pairs, forgotten(size, window, strides, pairs))
    random = np.random.default_rng(0)
    layer = Conv(FEATURES * groups, **kwargs)
    assert_equals_torch(
        partial(apply, layer),
        lambda *tensors: torch_conv(torch, *tensors, **kwargs),
        random.normal(size=(2, *size, groups)),
        *parameters(random, layer, groups),
    )


@pytest.mark.parametrize("kind", PADDINGS)
@given(data=st.data())
@settings(max_examples=5)
def test_transposed_convolution_equals_pytorch_and_same_multiplies_the_size_by_the_stride(
    kind, data, torch, assert_equals_torch
):
    kwargs = data.draw(arguments(kind))
    window, axes, groups = dilated_window(**kwargs), len(kwargs["kernel_size"]), kwargs["feature_group_count"]
    strides = each_axis(kwargs["strides"], axes)
    extra = (0,) * axes
    size = [1] * axes
    if kind != "SAME":
        extra = tuple(data.draw(st.integers(0, s - 1)) for s in strides)
        pairs = zeros_around(kwargs["padding"], None, window, None)
        assume_xla_survives(window, strides, pairs, extra)
        size = [  # what leaves something
            max(-(-(sum(p) + 1 - f - e) // s) + 1, 1) for p, f, e, s in zip(pairs, window, extra, strides, strict=True)
        ]
    size = [n + more for n, more in zip(size, numbers(data.draw, axes, 0, 2), strict=True)]
    kwargs["output_padding"] = shorten(extra)
    random = np.random.default_rng(0)
    layer = ConvTranspose(FEATURES * groups, **kwargs)
    assert_equals_torch(
        partial(apply, layer),
        lambda *tensors: torch_conv_transpose(torch, *tensors, **kwargs),
        random.normal(size=(2, *size, 2 * groups)),
        *parameters(random, layer, 2 * groups),
    )


@pytest.mark.parametrize("kind", PADDINGS)
@given(data=st.data())
@settings(max_examples=5)
def test_transposed_convolution_is_the_exact_adjoint_of_the_convolution_with_the_same_arguments(kind, data):
    kwargs = data.draw(arguments(kind))
    window, axes, groups = dilated_window(**kwargs), len(kwargs["kernel_size"]), kwargs["feature_group_count"]
    strides, more = each_axis(kwargs["strides"], axes), numbers(data.draw, axes, 0, 3)
    if kind == "SAME":  # it loses the remainder of a size that the stride does not divide
        size, extra = [s * (1 + m) for s, m in zip(strides, more, strict=True)], (0,) * axes
    else:
        pairs = zeros_around(kwargs["padding"], None, window, None)
        size = [max(f - sum(p), 1) + m for f, p, m in zip(window, pairs, more, strict=True)]
        extra = forgotten(size, window, strides, pairs)
        assume_xla_survives(window, strides, pairs, extra)
    inputs, outputs = 2 * groups, FEATURES * groups
    conv = Conv(outputs, use_bias=False, **kwargs)
    transpose = ConvTranspose(inputs, use_bias=False, output_padding=extra, **kwargs)
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = random.normal(size=(1, *size, inputs))
        kernel = random.normal(size=(*kwargs["kernel_size"], 2, groups, FEATURES))
        swapped = np.moveaxis(kernel, -3, -1)  # in each group, [in, out] becomes [out, in]
        kernel = kernel.reshape(*kernel.shape[:-2], outputs)
        swapped = np.moveaxis(swapped, -3, -2).reshape(*kernel.shape[:-2], FEATURES, inputs)

        @jax.jit
        def products(x, kernel, swapped):
            conv_x = conv.apply({"params": {"kernel": kernel}}, x)
            y = jnp.cos(jnp.arange(conv_x.size, dtype=x.dtype)).reshape(conv_x.shape)
            transpose_y = transpose.apply({"params": {"kernel": swapped}}, y)
            return (conv_x * y).sum(), (x * transpose_y).sum()

        np.testing.assert_allclose(*products(x, kernel, swapped), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("window", "stride"), [(1, 2), (1, 3), (2, 3), (2, 4)])
def test_same_padding_is_transposed_exactly_where_the_stride_is_beyond_the_window(window, stride, random):
    kwargs = {"kernel_size": (window,), "strides": stride, "padding": "SAME", "use_bias": False}
    kernel = random.normal(size=(window, 1, 1)).astype(np.float32)
    y = random.normal(size=(1, 3, 1)).astype(np.float32)

    def conv(x):
        return Conv(1, **kwargs).apply({"params": {"kernel": kernel}}, x)

    (expected,) = jax.vjp(conv, np.zeros((1, 3 * stride, 1), np.float32))[1](y)
    transposed = ConvTranspose(1, **kwargs).apply({"params": {"kernel": kernel}}, y)
    np.testing.assert_allclose(transposed, expected, rtol=1e-6)


@given(n=st.integers(1, 9), window=st.integers(1, 5), stride=st.integers(1, 4), dilation=st.integers(1, 3))
@settings(max_examples=30)
def test_same_padding_multiplies_the_size_by_the_stride_and_the_convolution_divides_it(n, window, stride, dilation):
    kwargs = {"kernel_size": (window,), "strides": stride, "kernel_dilation": dilation, "padding": "SAME"}

    def there_and_back(key):
        large = ConvTranspose(3, **kwargs).init_with_output(key, jnp.zeros((1, n, 2)))[0]
        return large, Conv(2, **kwargs).init_with_output(key, large)[0]

    large, small = jax.eval_shape(there_and_back, jax.random.key(0))
    assert large.shape == (1, n * stride, 3)
    assert small.shape == (1, n, 2)


def test_a_convolution_takes_an_input_without_a_batch_and_with_two(random):
    layer = Conv(3, (2, 2))
    x = jnp.asarray(random.normal(size=(2, 4, 5, 6, 2)), jnp.float32)
    y, variables = layer.init_with_output(jax.random.key(0), x)
    assert y.shape == (2, 4, 5, 6, 3)
    np.testing.assert_allclose(layer.apply(variables, x[1, 2]), y[1, 2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", ["VALID", 1, ((0, 2), (1, 1))])
def test_a_window_that_does_not_fit_is_refused_with_the_layers_place_and_the_size_that_is_left(
    padding, shape_in_a_network
):
    conv = partial(Conv, 8, (7, 7), padding=padding)
    with pytest.raises(UserError, match=r"layer stage2/inner: its window of 7×7 does not fit into the 5×4 that"):
        shape_in_a_network(conv, (1, 10, 8, 3))
    assert shape_in_a_network(conv, (1, 14, 14, 3))[-1] == 8


def test_dilation_counts_towards_the_window_that_must_fit(shape_in_a_network):
    conv = partial(Conv, 8, (3,), padding="VALID", kernel_dilation=3)
    with pytest.raises(UserError, match=r"layer stage2/inner: its window of 3 does not fit into the 6 that"):
        shape_in_a_network(conv, (1, 12, 3))
    assert shape_in_a_network(conv, (1, 14, 3)) == (1, 1, 8)


def test_a_layer_that_is_the_whole_network_is_named_by_its_class():
    with pytest.raises(UserError, match=r"layer Conv: its window of 5×5"):
        Conv(8, (5, 5), padding=0).init(jax.random.key(0), jnp.zeros((1, 3, 3, 1)))


@pytest.mark.parametrize("kind", [Conv, ConvTranspose])
@pytest.mark.parametrize(
    ("groups", "features"), [(2, 4), (3, 4), (0, 4), (-1, 4)], ids=["channels", "features", "none", "negative"]
)
def test_groups_that_do_not_divide_channels_and_features_are_refused_with_the_layers_place(
    kind, groups, features, shape_in_a_network
):
    layer = partial(kind, features, (1, 1), feature_group_count=groups)
    with pytest.raises(
        UserError, match=f"layer stage2/inner: {groups} groups do not divide its 3 input channels and 4 features evenly"
    ):
        shape_in_a_network(layer, (1, 4, 4, 3))


def test_a_padding_with_another_number_of_axes_is_refused():
    with pytest.raises(UserError, match="padding has 1 axes, and the window 2"):
        Conv(8, (3, 3), padding=(1,))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"strides": 2, "output_padding": 2}, "output_padding must be at least 0 and below the stride 2×2, not 2×2"),
        ({"padding": 4}, "its padding leaves nothing of 4×4"),
        ({"padding": "CIRCULAR"}, "a transposed convolution has no padding 'CIRCULAR'"),
    ],
)
def test_a_transposed_convolution_refuses_what_has_no_meaning_with_its_place(kwargs, message, shape_in_a_network):
    with pytest.raises(UserError, match=f"layer stage2/inner: {message}"):
        shape_in_a_network(partial(ConvTranspose, 2, (3, 3), **kwargs), (1, 8, 8, 3))
