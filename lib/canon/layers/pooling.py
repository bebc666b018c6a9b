"""Pooling: max, average, overlapping, global, and over time.

A pool overlaps when its stride is smaller than its window: Krizhevsky et al. 2012, section 3.4, with 3 and 2.
"""

import functools
from collections.abc import Sequence

import jax
import numpy as np
from flax import linen as nn
from jax import lax
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers import quick
from canon.layers.materialized import materialized
from canon.layers.max_pool import max_pool
from canon.layers.pool_windows import Windows
from canon.layers.precision import at_least_float32
from canon.layers.windows import Padding, check_window, explicit_padding, layer_name, per_axis


class _Pool(nn.Module):
    window: int | Sequence[int]
    strides: int | Sequence[int] | None = None
    padding: Padding = "VALID"
    ceil_mode: bool = False

    def _windows(self, x: jax.Array) -> Windows:
        """What is asked for, as (before, after) for each axis where it has a name."""
        spatial = x.shape[1:-1]
        window = per_axis("window", self.window, len(spatial))
        strides = window if self.strides is None else per_axis("strides", self.strides, len(spatial))
        padding = self._padding(spatial, window, strides)
        if isinstance(padding, str):
            padding = lax.padtype_to_pads(spatial, window, strides, padding)
        return Windows(window, strides, tuple((int(before), int(after)) for before, after in padding))

    def _padding(self, spatial, window, strides):
        no_dilation = (1,) * len(window)
        padding = explicit_padding(self.padding, window, no_dilation)
        if isinstance(padding, str) and padding not in ("VALID", "SAME", "SAME_LOWER"):
            raise UserError(f"layer {layer_name(self)}: a pool has no padding {self.padding!r}")
        if self.ceil_mode:
            padding = ((0, 0),) * len(window) if padding == "VALID" else padding
            if isinstance(padding, str):
                raise UserError(f"layer {layer_name(self)}: ceil_mode goes with explicit padding, not {padding}")
            beyond = [(lo, hi + s - 1) for (lo, hi), s in zip(padding, strides, strict=True)]
            check_window(self, spatial, window, no_dilation, beyond)
        else:
            check_window(self, spatial, window, no_dilation, padding)
        if isinstance(padding, str):
            return padding
        if any(max(p) >= f for p, f in zip(padding, window, strict=True)):
            raise UserError(f"layer {layer_name(self)}: a window that sees padding alone: padding {padding}")
        if self.ceil_mode:
            padding = [
                (lo, hi + _to_the_last_window(size, f, s, lo, hi))
                for size, f, s, (lo, hi) in zip(spatial, window, strides, padding, strict=True)
            ]
        return padding


def _to_the_last_window(size: int, window: int, stride: int, before: int, after: int) -> int:
    """How much more to pad so that the windows reach the end: the last one must begin before the padding after it."""
    windows = -(-(size + before + after - window) // stride) + 1
    if (windows - 1) * stride >= size + before:
        windows -= 1
    return max((windows - 1) * stride + window - (size + before + after), 0)


class MaxPool(_Pool):
    """The largest value of each window: `[batch, *spatial, channels] -> [batch, *spatial', channels]`.

    Attributes:
      window: its size along each spatial axis, or along all.
      strides: the distance between windows; None takes the window's size, so that windows tile the input.
      padding: as for a convolution; it never wins.
      ceil_mode: with explicit padding, a last window may reach beyond the end: sizes are rounded up, as in Caffe.

    Raises:
      UserError: the window does not fit into the input, or would see padding alone.
    """

    def __call__(self, x: jax.Array) -> jax.Array:
        return max_pool(x, self._windows(x))


class AvgPool(_Pool):
    """The mean of each window: `[batch, *spatial, channels] -> [batch, *spatial', channels]`, floating-point.

    Attributes: as those of `MaxPool`, and

      count_include_pad: divide by the window's size, so that padding counts as zeros; else by the inputs in it.

    Raises:
      UserError: the window does not fit into the input, or would see padding alone.
    """

    count_include_pad: bool = False

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.count_include_pad and self.ceil_mode:
            raise UserError(f"layer {layer_name(self)}: count_include_pad does not go with ceil_mode")
        dtype = at_least_float32(x.dtype)  # a sum of bfloat16 stands still from 256 terms on
        windows = self._windows(x)
        total = _sums(x.astype(dtype), windows)
        if self.count_include_pad:
            count = np.prod(windows.size, dtype=int).astype(dtype)
        else:
            count = windows.reduce(jnp.ones((1, *x.shape[1:-1], 1), dtype), 0, lax.add)
        return (total / count).astype(x.dtype)


def _sums(x: jax.Array, windows: Windows) -> jax.Array:
    """Over each window. XLA has one operation for that, whose gradient takes a CPU ten times as long as need be where
    windows overlap."""
    if quick.is_on() and windows.overlap and windows.are_small:
        return materialized(functools.reduce(jnp.add, windows.take(materialized(x), 0)))  # and its gradient
    return windows.reduce(x, 0, lax.add)


class AdaptiveAvgPool(nn.Module):
    """Means that leave a map of a given size, whatever the input's.

    `[batch, *spatial, channels] -> [batch, *size, channels]`. Along an axis of n, window i of m goes from ⌊i n / m⌋ to
    ⌈(i + 1) n / m⌉, as PyTorch has it: windows may overlap, and differ in size.

    Attributes:
      size: of the result, for each spatial axis.
    """

    size: Sequence[int]

    def __call__(self, x: jax.Array) -> jax.Array:
        for axis, m in enumerate(self.size, start=1):
            n = x.shape[axis]
            windows = np.zeros((n, m))
            for i in range(m):
                begin, end = i * n // m, -(-(i + 1) * n // m)
                windows[begin:end, i] = 1 / (end - begin)
            x = jnp.moveaxis(jnp.tensordot(x, windows.astype(x.dtype), (axis, 0)), -1, axis)
        return x


class GlobalAvgPool(nn.Module):
    """The mean over all positions: `[batch, *spatial, channels] -> [batch, channels]`. Lin et al. 2013, section 3.2."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return x.mean(axis=range(1, x.ndim - 1))


class GlobalMaxPool(nn.Module):
    """The largest value over all positions: `[batch, *spatial, channels] -> [batch, channels]`."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return x.max(axis=range(1, x.ndim - 1))


def max_over_time(x: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
    """The largest value of each feature over a sequence: `[batch, time, features] -> [batch, features]`.

    Collobert et al. 2011, section 3.3.2; Kim 2014, section 2.

    Args:
      x: `[batch, time, features]`, floating-point.
      lengths: `[batch]`, each at least 1: steps from there on do not count. None counts all.
    """
    if lengths is not None:
        inside = jnp.arange(x.shape[1]) < lengths[:, None]
        x = jnp.where(inside[..., None], x, np.array(-np.inf, x.dtype))
    return x.max(axis=1)
