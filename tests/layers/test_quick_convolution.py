import re

import jax
import numpy as np
import pytest
from jax import lax
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from canon.compile_options import compile_options
from canon.layers import quick, quick_convolution
from canon.layers.convolution import Conv
from canon.layers.quick_convolution import convolve
from canon.layers.small_images import is_small

NUMBERS = ("NHWC", "HWIO", "NHWC")

CONVOLUTIONS = {
    "in parts": ((16, 64, 64, 5), (3, 3, 5, 9), {"padding": "SAME"}),
    "in as many parts as there may be": ((16, 128, 128, 1), (3, 3, 1, 2), {"padding": "SAME"}),
    "a batch that is cut into no parts": ((7, 64, 64, 2), (3, 3, 2, 2), {"padding": "VALID"}),
    "four columns at once": ((2, 9, 12, 1), (5, 5, 1, 6), {"padding": "SAME"}),
    "four columns at once, but the last": ((2, 9, 11, 3), (3, 2, 3, 16), {"padding": ((1, 0), (2, 1))}),
    "two columns at once": ((2, 9, 11, 5), (3, 3, 5, 7), {"padding": "VALID"}),
    "one column at once, or two": ((2, 9, 11, 13), (3, 3, 13, 14), {"padding": "VALID"}),
    "one column at once": ((2, 9, 11, 25), (3, 3, 25, 26), {"padding": "VALID"}),
    "no images": ((0, 9, 12, 1), (3, 3, 1, 4), {"padding": "SAME"}),
    "arguments that Flax does not give": ((2, 8, 8, 1), (3, 3, 1, 4), {"batch_group_count": 2}),
    "a negative padding": ((2, 9, 11, 3), (3, 3, 3, 9), {"padding": ((-1, 0), (1, -2))}),
    "fewer columns than at once": ((2, 6, 5, 1), (3, 5, 1, 4), {"padding": "VALID"}),
    "in time": ((3, 20, 2), (4, 2, 3), {"window_strides": (1,), "dimension_numbers": ("NWC", "WIO", "NWC")}),
    "in space and time": (
        (2, 5, 6, 7, 1),
        (2, 3, 2, 1, 5),
        {"window_strides": (1, 1, 1), "dimension_numbers": ("NDHWC", "DHWIO", "NDHWC")},
    ),
    "strided": ((8, 33, 32, 4), (3, 2, 4, 4), {"window_strides": (2, 3), "padding": ((1, 0), (2, 1))}),
    "dilated": ((8, 40, 40, 4), (3, 3, 4, 2), {"rhs_dilation": (2, 3), "padding": "VALID"}),
    "dilated input": (
        (8, 20, 20, 4),
        (3, 3, 4, 2),
        {"lhs_dilation": (2, 2), "padding": ((1, 2), (2, 0))},
    ),
    "in groups": ((8, 32, 32, 6), (3, 3, 2, 9), {"feature_group_count": 3, "padding": "SAME"}),
    "in three groups of one channel": ((8, 32, 32, 3), (3, 3, 1, 3), {"feature_group_count": 3, "padding": "SAME"}),
    "of three colours": ((8, 32, 32, 3), (5, 5, 3, 4), {"padding": "SAME"}),
    "1×1": ((4, 32, 32, 5), (1, 1, 5, 6), {"padding": "VALID"}),
    "1×1 with a stride": ((4, 32, 32, 5), (1, 1, 5, 6), {"window_strides": (2, 2), "padding": "VALID"}),
    "1×1 with padding": ((4, 32, 32, 5), (1, 1, 5, 6), {"padding": ((1, 0), (0, 2))}),
    "1×1 that shifts": ((4, 32, 32, 5), (1, 1, 5, 6), {"padding": ((1, -1), (0, 0))}),
    "an image smaller than its kernel": ((3, 2, 2, 4), (3, 3, 4, 5), {"padding": ((1, 1), (1, 1))}),
    "one pixel": ((3, 1, 1, 4), (3, 3, 4, 5), {"padding": ((1, 1), (1, 1))}),
    "a wide kernel on a narrow image": ((3, 4, 2, 4), (3, 5, 4, 5), {"padding": ((0, 1), (4, 3))}),
    "a small image, strided": ((3, 4, 3, 4), (5, 3, 4, 5), {"window_strides": (2, 3), "padding": ((3, 2), (1, 3))}),
    "a small image, strided, as SAME": ((3, 3, 2, 4), (4, 4, 4, 5), {"window_strides": (2, 1), "padding": "SAME"}),
    "a small image, cut off": ((3, 3, 2, 4), (1, 7, 4, 5), {"padding": ((-1, 0), (6, 8))}),
    "a small image, far from all": ((3, 1, 1, 4), (2, 2, 4, 5), {"padding": ((4, 5), (3, 2))}),
    "a kernel as large as the image": ((3, 5, 4, 2), (5, 4, 2, 6), {"padding": "VALID"}),
    "a kernel that does not fit": ((3, 2, 2, 2), (3, 3, 2, 6), {"padding": "VALID"}),
    "a wide kernel that does not fit": ((3, 2, 2, 16), (5, 5, 16, 16), {"padding": "VALID"}),
    "a small image whose matrix would be large": (
        (2, 40, 2),
        (41, 2, 3),
        {"window_strides": (1,), "padding": ((20, 20),), "dimension_numbers": ("NWC", "WIO", "NWC")},
    ),
    "a small image in groups": ((3, 2, 2, 4), (3, 3, 2, 6), {"feature_group_count": 2, "padding": "SAME"}),
    "few words": ((3, 2, 4), (5, 4, 6), {"window_strides": (1,), "dimension_numbers": ("NWC", "WIO", "NWC")}),
    "no small images": ((0, 2, 2, 1), (3, 3, 1, 4), {"padding": "SAME"}),
    "1×1 in groups": ((4, 32, 32, 6), (1, 1, 3, 4), {"feature_group_count": 2, "padding": "VALID"}),
}


def assert_equals_lax(case, random):
    x_shape, kernel_shape, arguments = CONVOLUTIONS[case]
    arguments = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": NUMBERS} | arguments
    x, kernel = random.normal(size=x_shape), random.normal(size=kernel_shape)
    with jax.enable_x64(True):
        y = lax.conv_general_dilated(x, kernel, **arguments)
        weights = random.normal(size=y.shape)

        def of(function):
            return jax.jit(jax.value_and_grad(lambda x, w: (function(x, w, **arguments) * weights).sum(), (0, 1)))

        ours, theirs = of(convolve)(x, kernel), of(lax.conv_general_dilated)(x, kernel)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-9), ours, theirs)


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_result_and_gradients_are_those_of_lax_for_convolutions(case, random):
    assert_equals_lax(case, random)


@pytest.mark.parametrize(("is_wide", "columns"), [(False, 1), (True, 2)])
def test_two_columns_at_once_of_few_features_and_of_more_where_channels_are_few_or_vectors_wide(
    is_wide, columns, random, monkeypatch
):
    monkeypatch.setattr(quick, "has_wide_vectors", lambda: is_wide)
    assert [quick_convolution._columns(5, features) for features in (8, 24, 25)] == [2, 2, 1]
    assert [quick_convolution._columns(13, features) for features in (12, 13, 24, 25)] == [2, columns, columns, 1]
    assert_equals_lax("one column at once, or two", random)


@pytest.mark.parametrize(
    ("channels", "features", "is_plain"), [(3, 16, True), (3, 9, True), (3, 8, False), (1, 6, False)]
)
def test_the_gradient_of_a_narrow_kernel_takes_columns_at_once_where_features_are_few(
    channels, features, is_plain, monkeypatch
):
    taken = []
    transposed = quick_convolution._transposed
    monkeypatch.setattr(quick_convolution, "_transposed", lambda c, k: taken.append(c) or transposed(c, k))
    x, kernel = jnp.ones((2, 9, 9, channels)), jnp.ones((3, 3, channels, features))
    arguments = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": NUMBERS}
    jax.grad(lambda kernel: convolve(x, kernel, **arguments).sum())(kernel)
    assert [getattr(c, "func", None) is lax.conv_general_dilated for c in taken] == [is_plain]


def test_parts_divide_the_batch_and_hold_few_pixels_each():
    assert quick_convolution._parts(128, 32 * 32) == 8
    assert quick_convolution._parts(128, 8 * 8) == 1
    assert quick_convolution._parts(64, 224 * 224) == 16
    assert quick_convolution._parts(50, 64 * 64) == 10
    assert quick_convolution._parts(1, 224 * 224) == 1
    assert quick_convolution._parts(31, 64 * 64) == 1
    assert [quick_convolution._parts(n, 56 * 56, fewest=8) for n in (4, 8, 16, 24, 128)] == [1, 1, 2, 3, 16]


def test_a_gradient_in_bfloat16_is_summed_over_its_parts_in_float32(random):
    x = jnp.asarray(random.uniform(1, 2, (32, 32, 32, 1)), jnp.bfloat16)
    kernel = jnp.ones((1, 3, 1, 1), jnp.bfloat16)
    arguments = {"window_strides": (1, 1), "padding": "VALID", "dimension_numbers": NUMBERS}
    gradient = jax.grad(lambda kernel: convolve(x, kernel, **arguments).astype(jnp.float32).sum())(kernel)
    assert gradient.dtype == jnp.bfloat16
    exact = [np.asarray(x, np.float64)[:, :, i : i + 30].sum() for i in range(3)]
    np.testing.assert_allclose(np.asarray(gradient, np.float64).ravel(), exact, rtol=2**-8)


def test_a_batch_that_is_split_over_devices_gives_the_same_gradient(random):
    mesh = Mesh(np.array(jax.devices()[:8]), ("data",))
    x, kernel = random.normal(size=(32, 16, 16, 3)).astype(np.float32), random.normal(size=(3, 3, 3, 4))
    kernel = kernel.astype(np.float32)
    layer = Conv(4, (3, 3), use_bias=False)

    @jax.jit
    def gradient(x, kernel):
        return jax.grad(lambda kernel: jnp.square(layer.apply({"params": {"kernel": kernel}}, x)).sum())(kernel)

    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    np.testing.assert_allclose(gradient(split, kernel), gradient(x, kernel), rtol=1e-5, atol=1e-3)


def test_a_hessian_vector_product_goes_forward_over_reverse(random):
    x, kernel, direction = (random.normal(size=s) for s in ((4, 8, 8, 3), (3, 3, 3, 2), (3, 3, 3, 2)))
    arguments = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": NUMBERS}

    def product(function):
        gradient = jax.grad(lambda kernel: jnp.sin(function(x, kernel, **arguments)).sum())
        return jax.jvp(gradient, (kernel,), (direction,))[1]

    with jax.enable_x64(True):
        np.testing.assert_allclose(product(convolve), product(lax.conv_general_dilated), rtol=1e-9, atol=1e-9)


def test_an_image_is_small_where_its_matrix_is_not_large():
    same = ((1, 1), (1, 1))
    assert is_small((2, 2), (3, 3), (1, 1), same)
    assert not is_small((3, 3), (3, 3), (1, 1), same)
    assert is_small((3, 3), (3, 3), (1, 1), ((0, 0), (0, 0)))
    assert is_small((4, 4), (5, 5), (1, 1), ((2, 2), (2, 2)))
    assert not is_small((40,), (41,), (1,), ((20, 20),))
    assert not is_small((2, 0), (3, 3), (1, 1), same)
    assert not is_small((2, 2), (3, 3), (1, 1), ((0, 0), (0, 0)))


@pytest.mark.parametrize("pixels", [2, 8])
def test_complex_numbers_stay_complex(random, pixels):
    x, kernel = (
        (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)
        for shape in ((3, pixels, pixels, 16), (3, 3, 16, 16))
    )

    def of(function):
        def objective(x, kernel):
            return jnp.square(jnp.abs(function(x, kernel, (1, 1), "SAME", dimension_numbers=NUMBERS))).sum()

        return jax.grad(objective, (0, 1))(x, kernel)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=0.05), of(convolve), of(lax.conv_general_dilated)
    )


@pytest.mark.parametrize("pixels", [2, 8])
@pytest.mark.parametrize("kernel", [jnp.ones((3, 3, 4, 5), jnp.float32), jnp.ones((3, 3, 3, 5), jnp.bfloat16)])
def test_what_does_not_fit_is_refused_as_lax_refuses_it(pixels, kernel):
    x = jnp.ones((2, pixels, pixels, 4), jnp.bfloat16)
    with pytest.raises((TypeError, ValueError), match=r"conv_general_dilated|same dtypes"):
        convolve(x, kernel, (1, 1), "SAME", dimension_numbers=NUMBERS)


def test_in_a_loop_a_convolution_without_strides_has_the_form_that_a_cpu_has_code_for(random):
    """In any other XLA writes loops of its own, thirty times as slow: https://github.com/jax-ml/jax/issues/12868."""
    x, kernels = random.normal(size=(4, 8, 8, 16)), random.normal(size=(3, 3, 3, 16, 16))
    x, kernels = x.astype(np.float32), kernels.astype(np.float32)

    def in_a_loop(convolution):
        def layer(x, kernel):
            return jnp.tanh(convolution(x, kernel, (1, 1), "SAME", dimension_numbers=NUMBERS)), None

        return jax.grad(lambda x, kernels: jax.lax.scan(layer, x, kernels)[0].sum(), (0, 1))

    def forms(function):
        compiled = jax.jit(function, compiler_options=compile_options("cpu")).lower(x, kernels).compile()
        return set(re.findall(r"dim_labels=([^,\s]+)", compiled.as_text()))

    assert forms(in_a_loop(convolve)) == {"b01f_01io->b01f"} < forms(in_a_loop(lax.conv_general_dilated))
    ours, theirs = in_a_loop(convolve)(x, kernels), in_a_loop(lax.conv_general_dilated)(x, kernels)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3), ours, theirs)


def test_another_backend_is_given_the_plain_convolution(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x, kernel = jnp.zeros((1, 8, 8, 3)), jnp.zeros((3, 3, 3, 2))
    jaxpr = jax.make_jaxpr(lambda x, w: convolve(x, w, (1, 1), "SAME", dimension_numbers=NUMBERS))(x, kernel)
    assert [equation.primitive.name for equation in jaxpr.eqns] == ["conv_general_dilated"]
