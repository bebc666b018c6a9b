import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.layers.batch_moments import normalize

EPSILON = 1e-3


def plain(x, scale, bias):
    """Algorithm 1 of the paper, whose gradient JAX derives."""
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    return (x - mean) / jnp.sqrt(variance + EPSILON) * scale + bias, mean, variance


@pytest.mark.parametrize("shape", [(5, 3), (4, 6, 3), (8, 3, 5, 2)], ids=str)
def test_results_and_gradients_are_those_that_jax_derives(shape, random):
    x, scale, bias = random.normal(1, 2, size=shape), *random.normal(size=(2, shape[-1]))
    weights = random.normal(size=shape), *random.normal(size=(2, shape[-1]))  # of the mean and the variance too

    def of(function):
        def loss(*arguments):
            return sum((a * w).sum() for a, w in zip(function(*arguments), weights, strict=True))

        return jax.value_and_grad(loss, (0, 1, 2))(x, scale, bias)

    with jax.enable_x64(True):
        ours, theirs = of(lambda *arguments: normalize(*arguments, EPSILON)), of(plain)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), ours, theirs)


def test_many_at_once_are_each_by_itself(random):
    x, scale, bias = random.normal(size=(3, 8, 4, 2)), *random.normal(size=(2, 3, 2))
    together = jax.vmap(lambda *a: normalize(*a, EPSILON)[0])(x, scale, bias)
    for i, one in enumerate(together):
        np.testing.assert_allclose(one, normalize(x[i], scale[i], bias[i], EPSILON)[0], rtol=1e-5, atol=1e-6)


def test_a_constant_channel_has_no_negative_variance():
    x = jnp.full((64, 4), 1000.1, jnp.float32)
    y, _, variance = normalize(x, jnp.ones(4), jnp.zeros(4), EPSILON)
    assert (variance >= 0).all()
    assert jnp.isfinite(y).all()


def test_a_hessian_vector_product_goes_forward_over_reverse(random):
    x, direction = random.normal(size=(2, 6, 3))
    one, zero = np.ones(3), np.zeros(3)

    def product(function):
        return jax.jvp(jax.grad(lambda x: jnp.sin(function(x)[0]).sum()), (x,), (direction,))[1]

    with jax.enable_x64(True):
        ours, theirs = product(lambda x: normalize(x, one, zero, EPSILON)), product(lambda x: plain(x, one, zero))
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)
