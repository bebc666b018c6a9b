"""Sums over all examples and positions of a batch, in an order that a CPU is quick at.

XLA's CPU backend adds up `[batch, height, width, channels]` for each channel at a tenth of the speed at which it reads
memory. Here slices of the batch are added to each other first, as elementwise work into which products and whatever
came before are merged; what is left is the product of a row of ones and a matrix.
"""

import math

import jax
from jax import lax
from jax import numpy as jnp

SLICES = 8
"""Of the batch at most, added to each other."""


def sum_to_channels(*factors: jax.Array) -> jax.Array:
    """The sum of the product of the factors, over all axes but the last: each `[batch, ..., channels]`, `[channels]`
    out."""
    if jax.default_backend() != "cpu" or not math.prod(factors[0].shape):
        return math.prod(factors[1:], start=factors[0]).sum(range(factors[0].ndim - 1))
    slices = max(n for n in range(1, SLICES + 1) if len(factors[0]) % n == 0) if factors[0].ndim > 1 else 1
    # Every so-manieth example, not a run of them: each device of a mesh holds a run, and has a share in each slice.
    total = sum(math.prod(f[i::slices] for f in factors) for i in range(slices))
    channels = total.shape[-1]
    rows = total.reshape(-1, math.prod(total.shape[-2:]))
    ones = jnp.ones(len(rows), rows.dtype)
    wide = lax.dot(ones, rows, precision=lax.Precision.HIGHEST)
    return wide.reshape(-1, channels).sum(0)
