"""Where a network computes in more digits than its layers do."""

import jax
from jax import numpy as jnp


def at_least_float32(dtype: jax.typing.DTypeLike) -> jnp.dtype:
    """`dtype`, or float32 where it is shorter: for statistics, and for what goes into a softmax.

    Complex numbers have that many bits for each of their two parts.
    """
    dtype = jnp.dtype(dtype)
    return jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits < 32 else dtype
