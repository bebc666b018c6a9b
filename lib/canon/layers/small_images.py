"""Convolution of images with fewer pixels than the kernel has weights for each pair of channels, as a dense layer.

Where an image is smaller than its kernel XLA takes the one for the other, and its CPU backend is slow at what comes of
it: 1.7 ms for 64 images of 2×2 pixels and 64 channels under 3×3, where the dense layer takes 0.2 (two cores of an AMD
EPYC, jax 0.10.2, 2026-11-26).
"""

import math
from collections.abc import Sequence

import jax
from jax import lax
from jax import numpy as jnp

MOST_COPIES = 16
"""Of the kernel that its matrix may hold: 16/9 under 3×3 for images of 2×2; an image of 14×14 under 15×15 would have
171."""


def is_small(
    spatial: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Sequence[tuple[int, int]]
) -> bool:
    """Whether the dense layer multiplies less than the convolution, and its matrix is not much larger than the kernel.

    With one position of a window over the whole image it multiplies as much, and the matrix is the kernel.

    Arguments as those of `convolve_small`; `window` is the shape of the kernel without channels and features.
    """
    pixels, weights = math.prod(spatial), math.prod(window)
    windows = math.prod(positions(spatial, window, strides, padding))
    is_less = pixels < weights or (pixels == weights and windows == 1)
    return pixels > 0 < windows and is_less and pixels * windows <= MOST_COPIES * weights


def positions(
    spatial: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Sequence[tuple[int, int]]
) -> list[int]:
    """Of the window: the spatial shape of the result."""
    return [
        max(0, (size + before + after - f) // s + 1)
        for size, f, s, (before, after) in zip(spatial, window, strides, padding, strict=True)
    ]


def convolve_small(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    precision: lax.PrecisionLike = None,
) -> jax.Array:
    """The convolution as a product with a matrix, in which each weight stands wherever it meets a pixel.

    Args:
      x: `[batch, *spatial, channels]`.
      kernel: `[*window, channels, features]`.
      strides: for each spatial axis.
      padding: (before, after) for each spatial axis; below 0 it cuts off.
      precision: of the product.

    Returns:
      `[batch, *spatial', features]`.
    """
    spatial = x.shape[1:-1]
    out = positions(spatial, kernel.shape[:-2], strides, padding)
    for axis, (size, windows, stride, (before, _)) in enumerate(zip(spatial, out, strides, padding, strict=True)):
        # Where a window of the result begins, pixel 0 is under the weight `start`; beyond the kernel there are zeros.
        starts = [before - i * stride for i in range(windows)]
        beyond = max(0, -starts[-1]), max(0, starts[0] + size - kernel.shape[axis])
        kernel = jnp.pad(kernel, [beyond if a == axis else (0, 0) for a in range(kernel.ndim)])
        seen = [lax.slice_in_dim(kernel, s + beyond[0], s + beyond[0] + size, axis=axis) for s in starts]
        kernel = jnp.stack(seen, axis=-2)  # before the features: [*spatial, channels, *spatial', features]
    rows = x.reshape(len(x), math.prod(x.shape[1:]))
    matrix = kernel.reshape(rows.shape[1], math.prod(out) * kernel.shape[-1])
    return lax.dot(rows, matrix, precision=precision).reshape(len(x), *out, kernel.shape[-1])
