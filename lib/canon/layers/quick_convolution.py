"""Convolution, and its gradients, in forms that a CPU computes quickly.

XLA's CPU backend is slow at some things that come to the same, up to rounding, when they are written otherwise:

- Few channels into few features, as in a first layer of grey images or the gradient with respect to a few maps. Each
  window is copied before it is multiplied, and the copies cost more than the products. A kernel that is wider by
  `columns - 1`, with zeros, gives so many neighbouring columns of the result at once, and is moved by as many.
- The gradient with respect to a large image's kernel: a sum over all images, which is quicker in parts. For a 1×1
  kernel it is a product of two matrices. In a loop it is thirty times as slow, but for a convolution without strides
  as `_as_images` writes it.
- Images that are smaller than the kernel: see `canon.layers.small_images`.
- Work before a convolution that is merged into the copies which its gradients take: see `canon.layers.materialized`.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from canon.layers import quick
from canon.layers.materialized import materialized
from canon.layers.precision import at_least_float32
from canon.layers.small_images import convolve_small, is_small, positions

PIXELS = 16384
"""Of the result, in one part of the batch, as long as there are at most `MOST_PARTS`."""

MOST_PARTS = 16

FEWEST_IMAGES = 8
"""In a part whose images become channels: fewer fill no vector."""

FEW_FEATURES = 8
"""At most so many, and the gradient with respect to the kernel, too, is quicker with several columns of the result."""

_UNDERSTOOD = {"lhs_dilation", "rhs_dilation", "dimension_numbers", "feature_group_count", "precision"}

Convolution = Callable[[jax.Array, jax.Array], jax.Array]
"""Of `x` and `kernel`, see `convolve`."""


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **arguments,
) -> jax.Array:
    """`lax.conv_general_dilated`, channels last, with the same arguments.

    On a CPU, unless there are arguments that Flax's `Conv` never gives, it and its gradients are computed as the
    docstring of this file says. Forward-mode differentiation (`jax.jvp`) then stops at it, unless the images are small,
    though not at its gradient: Hessian-vector products go forward over reverse.

    Args:
      x: `[batch, *spatial, channels]`.
      kernel: `[*window, channels / groups, features]`.
      window_strides: as `lax` has it.
      padding: likewise.
      arguments: the others of `lax.conv_general_dilated`, by name.
    """
    plain = functools.partial(lax.conv_general_dilated, window_strides=window_strides, padding=padding, **arguments)
    if not quick.is_on() or set(arguments) - _UNDERSTOOD:
        return plain(x, kernel)

    window = kernel.shape[:-2]
    is_undilated = all(
        _is_one(arguments.get(name) or ()) for name in ("lhs_dilation", "rhs_dilation", "feature_group_count")
    )
    if is_undilated:
        if x.dtype != kernel.dtype or x.shape[-1] != kernel.shape[-2]:
            return plain(x, kernel)  # which says what is wrong
        if isinstance(padding, str):
            padding = lax.padtype_to_pads(x.shape[1:-1], window, window_strides, padding)
        if 0 in positions(x.shape[1:-1], window, window_strides, padding):
            return plain(x, kernel)
        if is_small(x.shape[1:-1], window, window_strides, padding):
            return convolve_small(materialized(x), kernel, window_strides, padding, arguments.get("precision"))
    is_dense = is_undilated and _is_one(window_strides)
    padding = padding if is_dense else ()
    keeps_size = all(before == after == 0 for before, after in padding)  # for 1×1; (1, −1) keeps it, and shifts
    is_product = is_dense and keeps_size and _is_one(window)
    result, of_images = plain, None
    if is_dense and not is_product:
        result = _with_columns(kernel.shape, padding, arguments)
        mirrored = (*window, kernel.shape[-1], kernel.shape[-2])
        opposite = [(f - 1 - before, f - 1 - after) for f, (before, after) in zip(window, padding, strict=True)]
        of_images = _with_columns(mirrored, opposite, arguments)

    def forward(x, kernel):
        x = materialized(x)
        return result(x, kernel), (x, kernel)

    def backward(residuals, gradient):
        x, kernel = residuals
        gradient = materialized(gradient)
        if of_images is None:
            (of_x,) = jax.linear_transpose(lambda x: plain(x, kernel), x)(gradient)
        else:
            of_x = of_images(gradient, jnp.flip(kernel, range(len(window))).swapaxes(-1, -2))
        if is_product:
            rows = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
            of_kernel = lax.dot_general(*rows, (((0,), (0,)), ((), ())), precision=arguments.get("precision"))
            return of_x, of_kernel.reshape(kernel.shape)
        by_images = is_dense and not _is_narrow(*kernel.shape[-2:])
        if by_images:
            of_kernel = _as_images(padding, arguments.get("precision"))
            return of_x, _kernel_gradient(of_kernel, x, kernel, gradient, fewest=FEWEST_IMAGES)
        of_kernel = _transposed(result if kernel.shape[-1] <= FEW_FEATURES else plain, kernel)
        return of_x, _kernel_gradient(of_kernel, x, kernel, gradient)

    convolution = jax.custom_vjp(lambda x, kernel: result(x, kernel))
    convolution.defvjp(forward, backward)
    return convolution(x, kernel)


def _is_one(numbers: int | Sequence[int]) -> bool:
    return numbers == 1 if isinstance(numbers, int | np.integer) else all(n == 1 for n in numbers)


def _is_narrow(channels: int, features: int) -> bool:
    """Whether the gradient with respect to the kernel is quicker as JAX derives it than as `_as_images` writes it."""
    return features <= FEW_FEATURES or (channels <= 4 and features <= 32)


def _columns(channels: int, features: int) -> int:
    """How many columns of the result to compute at once, so that copying windows does not cost more than it gives."""
    if channels <= 4:
        return max(n for n in (1, 2, 4) if n == 1 or n * features <= 64)
    # Products with so few features leave most of a wide vector empty, and windows of few channels are copied slowly.
    if quick.has_wide_vectors() or channels <= 12:
        return 2 if features <= 24 else 1
    return 2 if features <= 12 else 1


def _with_columns(kernel_shape: Sequence[int], padding: Sequence[tuple[int, int]], arguments: dict) -> Convolution:
    """The convolution without strides and dilation, several columns at once where that is quicker."""
    *window, channels, features = kernel_shape
    columns = _columns(channels, features)
    *before, (left, right) = padding
    rows = [(0, 0)] * len(before)

    def convolution(x, kernel):
        width = x.shape[-2] + left + right - window[-1] + 1
        beyond = -width % columns
        shifted = [jnp.pad(kernel, (*rows, (i, columns - 1 - i), (0, 0), (0, 0))) for i in range(columns)]
        y = lax.conv_general_dilated(
            x,
            jnp.concatenate(shifted, axis=-1) if columns > 1 else kernel,
            (*(1 for _ in rows), columns),
            (*before, (left, right + beyond)),
            **arguments,
        )
        y = y.reshape(*y.shape[:-2], y.shape[-2] * columns, features)
        return y[..., :width, :] if beyond else y

    return convolution


def _kernel_gradient(
    of_part: Convolution, x: jax.Array, kernel: jax.Array, gradient: jax.Array, fewest: int = 1
) -> jax.Array:
    """The gradient with respect to `kernel`, added up over parts of the batch of at least so many images, each as
    `of_part` has it."""
    parts = _parts(len(x), math.prod(gradient.shape[1:-1]), fewest)
    total = jnp.zeros(kernel.shape, at_least_float32(kernel.dtype))
    for part in range(parts):
        # Every so-manieth image, not a run of them: each device of a mesh holds a run, and has a share in each part.
        total += of_part(x[part::parts], gradient[part::parts]).astype(total.dtype)
    return total.astype(kernel.dtype)


def _transposed(convolution: Convolution, kernel: jax.Array) -> Convolution:
    """The gradient with respect to the kernel as JAX derives it: of `x` and the gradient of the result."""

    def of_kernel(x, gradient):
        (found,) = jax.linear_transpose(functools.partial(convolution, x), kernel)(gradient)
        return found

    return of_kernel


def _as_images(padding: Sequence[tuple[int, int]], precision: lax.PrecisionLike) -> Convolution:
    """The same, of a convolution without strides, as a convolution of channels, each an image of so many channels as
    there were images, with the gradient as its kernel.

    So XLA rewrites it too, but in the main program alone: in a loop it leaves it as it is, and takes thirty times as
    long (https://github.com/jax-ml/jax/issues/12868). `python -m benchmarks.convolution_loop` measures it.
    """

    def of_kernel(x, gradient):
        axes = x.ndim - 2
        images_last, features_last = (axes + 1, *range(1, axes + 1), 0), (*range(1, axes + 1), 0, axes + 1)
        images, kernel = materialized((x.transpose(images_last), gradient.transpose(features_last)))
        last = (0, axes + 1, *range(1, axes + 1))
        numbers = lax.ConvDimensionNumbers(last, (axes + 1, axes, *range(axes)), last)
        found = lax.conv_general_dilated(
            images, kernel, (1,) * axes, padding, dimension_numbers=numbers, precision=precision
        )
        return found.transpose(*range(1, axes + 1), 0, axes + 1)

    return of_kernel


def _parts(images: int, pixels: int, fewest: int = 1) -> int:
    """Into how many parts of one size, and at least `fewest`, so many images are cut, where the result has so many
    pixels for each."""
    wanted = max(1, min(MOST_PARTS, images // fewest, -(-images * pixels // PIXELS)))
    return max(n for n in range(1, wanted + 1) if images % n == 0)
