import math

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.layers.initializers import he_normal, lecun_normal, uniform_over_fan_in

SHAPES = [(3, 3, 16, 128), (5, 32, 128), (144, 128)]  # convolutions in 2 and 1 dimensions, and a dense layer


def draw(initializer, shape):
    """Draws in float64, and the number of inputs of a unit."""
    return np.asarray(initializer(jax.random.key(0), shape), np.float64), math.prod(shape[:-1])


def assert_within_four_deviations(values, variance, fourth_moment):
    """The mean square of n draws has the variance (E x⁴ − (E x²)²) / n; their mean has E x² / n."""
    n = values.size
    assert abs(np.square(values).mean() - variance) < 4 * math.sqrt((fourth_moment - variance**2) / n)
    assert abs(values.mean()) < 4 * math.sqrt(variance / n)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("initializer", "gain"), [(he_normal, 2), (lecun_normal, 1)], ids=["he", "lecun"])
def test_a_normal_initializer_has_the_papers_variance_and_is_not_truncated(initializer, gain, shape):
    values, fan_in = draw(initializer, shape)
    variance = gain / fan_in
    assert_within_four_deviations(values, variance, fourth_moment=3 * variance**2)
    # Flax's own, of the same variance, ends at 2 / 0.87962566103423978 of its deviations.
    assert abs(values).max() > 3 * math.sqrt(variance)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_uniform_initializer_fills_lecuns_interval_evenly(shape):
    values, fan_in = draw(uniform_over_fan_in, shape)
    bound = 2.4 / fan_in
    assert_within_four_deviations(values, bound**2 / 3, fourth_moment=bound**4 / 5)
    assert abs(values).max() <= bound
    # The chance that all of n draws stay below a share q of the bound is q^n.
    assert abs(values).max() > bound * math.exp(math.log(1e-6) / values.size)


@pytest.mark.parametrize("initializer", [he_normal, lecun_normal, uniform_over_fan_in])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_an_initializer_draws_in_the_dtype_asked_for(initializer, dtype):
    assert initializer(jax.random.key(0), (3, 4), dtype).dtype == dtype
