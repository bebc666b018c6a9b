"""The gradient of a max pool where elements are equal; PyTorch is the oracle of the rest, in `test_pooling.py`."""

import jax
import numpy as np
import pytest
from jax import lax
from jax import numpy as jnp

from canon.layers.max_pool import max_pool
from canon.layers.pool_windows import Windows

WINDOWS = {
    "apart": Windows((2, 2), (2, 2), ((0, 0), (0, 0))),
    "overlapping": Windows((3, 3), (2, 2), ((1, 1), (1, 1))),
    "with gaps": Windows((2, 1), (3, 4), ((0, 0), (0, 0))),
    "unlike along the axes": Windows((4, 2), (3, 1), ((2, 1), (0, 1))),
    "of as many places as are taken apart": Windows((5, 5), (2, 3), ((0, 1), (2, 0))),
    "of more": Windows((6, 5), (3, 6), ((1, 1), (0, 0))),
}


def plain(x, windows):
    return windows.reduce(x, -np.inf, lax.max)


def gradients(x, windows, weights):
    return [jax.grad(lambda x, f=f: (f(x, windows) * weights).sum())(x) for f in (max_pool, plain)]


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_first_of_equal_elements_has_the_gradient_as_in_xla(name, dtype, random):
    x = jnp.asarray(random.integers(0, 3, (2, 9, 11, 3)), dtype)
    # Small whole numbers: exact in whatever order they are added.
    weights = jnp.asarray(random.integers(-4, 5, plain(x, WINDOWS[name]).shape), dtype)
    ours, theirs = gradients(x, WINDOWS[name], weights)
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, theirs)


def test_a_hessian_vector_product_goes_forward_over_reverse(random):
    x, v = (jnp.asarray(random.normal(size=(2, 7, 6, 3)), jnp.float32) for _ in range(2))
    ours, theirs = (
        jax.jvp(jax.grad(lambda x, f=f: (f(x, WINDOWS["overlapping"]) ** 3).sum()), (x,), (v,))[1]
        for f in (max_pool, plain)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_window_with_a_nan_gives_its_gradient_to_the_nan():
    x = jnp.array([1.0, jnp.nan, 3.0, 4.0]).reshape(1, 4, 1)
    windows = Windows((2,), (2,), ((0, 0),))
    assert np.isnan(max_pool(x, windows)[0, 0, 0])
    (gradient,) = jax.vjp(lambda x: max_pool(x, windows), x)[1](jnp.ones((1, 2, 1)))
    np.testing.assert_array_equal(gradient.ravel(), [0, 1, 0, 1])


def test_whole_numbers_have_the_largest_too():
    assert max_pool(jnp.array([[[3], [-7]]]), Windows((2,), (2,), ((0, 0),)))[0, 0, 0] == 3
