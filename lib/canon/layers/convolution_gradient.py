"""Convolution with gradients that a CPU computes quickly.

XLA's CPU backend is slow at two things that come to the same, up to rounding, when they are written otherwise:

- The gradient with respect to the kernel is a sum over all images. Taken in parts of a few thousand pixels, it takes a
  half to a fifth of the time; for a 1×1 kernel it is a product of two matrices, which takes an eighth.
- Three input channels, as colours are: with a fourth one, of zeros, jax 0.10 takes a quarter of the time.
"""

import functools
import math
from collections.abc import Sequence

import jax
from jax import lax
from jax import numpy as jnp

from canon.layers.precision import at_least_float32

PIXELS = 2048
"""Of the result, in one part of the batch, as long as there are at most `MOST_PARTS`."""

MOST_PARTS = 16


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **arguments,
) -> jax.Array:
    """`lax.conv_general_dilated`, channels last, with the same arguments.

    On a CPU its gradients are computed as this file's docstring says; forward-mode differentiation (`jax.jvp`) then
    stops at it, though not at its gradient, so that Hessian-vector products go forward over reverse.

    Args:
      x: `[batch, *spatial, channels]`.
      kernel: `[*window, channels / groups, features]`.
      window_strides: as `lax` has it.
      padding: likewise.
      arguments: the others of `lax.conv_general_dilated`, by name.
    """
    plain = functools.partial(lax.conv_general_dilated, window_strides=window_strides, padding=padding, **arguments)
    if jax.default_backend() != "cpu":
        return plain(x, kernel)

    is_product = (
        math.prod(kernel.shape[:-2]) == math.prod(window_strides) == arguments.get("feature_group_count", 1) == 1
        and x.shape[:-1] == jax.eval_shape(plain, x, kernel).shape[:-1]
        and (isinstance(padding, str) or not any(map(any, padding)))  # (1, −1) keeps the shape, and shifts
    )

    def forward(x, kernel):
        channels = x.shape[-1]
        if channels != 3 or kernel.shape[-2] != channels:
            return plain(x, kernel), (x, kernel)
        return plain(_append_zero(x, -1), _append_zero(kernel, -2)), (x, kernel)

    def backward(residuals, gradient):
        x, kernel = residuals
        (of_x,) = jax.linear_transpose(lambda x: plain(x, kernel), x)(gradient)
        if is_product:
            rows = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
            of_kernel = lax.dot_general(*rows, (((0,), (0,)), ((), ())), precision=arguments.get("precision"))
            return of_x, of_kernel.reshape(kernel.shape)
        return of_x, _kernel_gradient(plain, x, kernel, gradient)

    convolution = jax.custom_vjp(lambda x, kernel: plain(x, kernel))
    convolution.defvjp(forward, backward)
    return convolution(x, kernel)


def _append_zero(x: jax.Array, axis: int) -> jax.Array:
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, 1)
    return jnp.pad(x, widths)


def _kernel_gradient(plain, x: jax.Array, kernel: jax.Array, gradient: jax.Array) -> jax.Array:
    parts = _parts(len(x), math.prod(gradient.shape[1:-1]))
    total = jnp.zeros(kernel.shape, at_least_float32(kernel.dtype))
    for part in range(parts):
        # Every so-manieth image, not a run of them: each device of a mesh holds a run, and has a share in each part.
        images, its_gradient = x[part::parts], gradient[part::parts]
        (of_part,) = jax.linear_transpose(lambda kernel, images=images: plain(images, kernel), kernel)(its_gradient)
        total += of_part.astype(total.dtype)
    return total.astype(kernel.dtype)


def _parts(images: int, pixels: int) -> int:
    """Into how many parts of one size so many images are cut, where the result has so many pixels for each."""
    wanted = max(1, min(MOST_PARTS, -(-images * pixels // PIXELS)))
    return max(n for n in range(1, wanted + 1) if images % n == 0)
