"""Normalisation by the mean and variance of a batch, with its gradient written out.

Ioffe and Szegedy 2015, "Batch normalization", algorithm 1 and the gradients of section 3. What JAX derives passes over
the batch a dozen times and sums it slowly on a CPU; this reads it twice forward and twice backward.
"""

import functools
import math

import jax
from jax import lax
from jax import numpy as jnp

from canon.layers.batch_sums import sum_to_channels
from canon.layers.materialized import materialized


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalize(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(x − mean) · scale / √(variance + epsilon) + bias, and the mean and the biased variance of each channel.

    Args:
      x: `[batch, ..., channels]`.
      scale, bias: `[channels]`, of the dtype of `x`.
      epsilon: added to the variance.

    Returns:
      `[batch, ..., channels]`, and twice `[channels]`. Forward-mode differentiation (`jax.jvp`) stops here, though not
      at the gradient.
    """
    return _forward(x, scale, bias, epsilon)[0]


def _forward(x, scale, bias, epsilon):
    examples = math.prod(x.shape[:-1])
    mean = sum_to_channels(x) / examples
    variance = jnp.maximum(sum_to_channels(x, x) / examples - mean * mean, 0)
    deviations = lax.rsqrt(variance + epsilon)
    return ((x - mean) * (deviations * scale) + bias, mean, variance), (x, scale, mean, deviations)


def _backward(epsilon, residuals, gradients):
    x, scale, mean, deviations = residuals
    of_y, of_mean, of_variance = gradients
    of_y = materialized(of_y)
    examples = math.prod(x.shape[:-1])
    of_bias = sum_to_channels(of_y)
    of_scale = (sum_to_channels(of_y, x) - mean * of_bias) * deviations
    # With respect to x it is linear in of_y and in x, with a coefficient for each channel.
    factor = deviations * scale
    slope = (2 * of_variance - factor * of_scale * deviations) / examples
    constant = (of_mean - factor * of_bias) / examples - slope * mean
    return factor * of_y + slope * x + constant, of_scale, of_bias


normalize.defvjp(_forward, _backward)
