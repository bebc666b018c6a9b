"""Weight initializers, by the papers that brought them."""

import math
from collections.abc import Sequence

import jax
from flax import linen as nn
from jax import numpy as jnp
from jax.typing import DTypeLike

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
"""N(0, 2 / fan_in): He et al. 2015, "Delving deep into rectifiers", equation 10.

Flax's own `he_normal` draws from a *truncated* normal distribution; the paper's is not truncated.
"""

lecun_normal = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
"""N(0, 1 / fan_in): LeCun et al. 1998, "Efficient BackProp", equation 16; for nonlinearities such as tanh."""


def uniform_over_fan_in(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """U(−2.4 / fan_in, 2.4 / fan_in), where the last axis counts the units: LeCun et al. 1998, appendix A."""
    bound = 2.4 / math.prod(shape[:-1])
    return jax.random.uniform(key, shape, dtype, -bound, bound)
