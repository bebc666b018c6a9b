"""The largest value of each window, with a gradient that a CPU computes quickly.

XLA has one operation for the gradient of a max pool, and its CPU backend runs it one element after another: on the
first pool of `alexnet_fig1` it took a third of the train step. As it is written here it takes a fifteenth of that.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from canon.layers import quick


@dataclass(frozen=True)
class Windows:
    """Windows that slide over the spatial axes of `[batch, *spatial, channels]`.

    Attributes:
      size: of a window along each spatial axis.
      strides: between windows, likewise.
      padding: (before, after) for each spatial axis.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    def reduce(self, x: jax.Array, initial: float, function: Callable) -> jax.Array:
        """`function` over the elements of each window and `initial`, of which padding is made."""
        none = (0, 0)
        return lax.reduce_window(
            x,
            np.array(initial, x.dtype)[()],
            function,
            (1, *self.size, 1),
            (1, *self.strides, 1),
            (none, *self.padding, none),
        )


def max_pool(x: jax.Array, windows: Windows) -> jax.Array:
    """The largest value of each window: `[batch, *spatial, channels] -> [batch, *spatial', channels]`, of a real dtype.

    Padding never wins. Where several elements of a window are largest, the first one has the gradient. On a CPU
    forward-mode differentiation (`jax.jvp`) stops here, though not at the gradient.
    """
    if quick.is_on() and jnp.issubdtype(x.dtype, jnp.floating):
        return _with_quick_gradient(x, windows)
    return _forward(x, windows)


def _lowest(dtype: np.dtype) -> float:
    return -np.inf if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).min


def _forward(x: jax.Array, windows: Windows) -> jax.Array:
    return windows.reduce(x, _lowest(x.dtype), lax.max)


_with_quick_gradient = jax.custom_vjp(_forward, nondiff_argnums=(1,))


def _forward_rule(x, windows):
    y = _forward(x, windows)
    return y, (x, y)


def _backward_rule(windows, residuals, gradient):
    """Each place in the window in turn: which windows have their first largest element there, and what it is owed.

    A place is `phase + shift * stride` along each axis. What the places of one phase are owed is summed, and the phases
    are then interleaved, so that nothing is scattered.
    """
    x, y = residuals
    padded = jnp.pad(x, ((0, 0), *windows.padding, (0, 0)), constant_values=_lowest(x.dtype))
    shifts = [-(-f // s) for f, s in zip(windows.size, windows.strides, strict=True)]
    taken = jnp.zeros(y.shape, bool)
    phases: dict[tuple[int, ...], jax.Array] = {}
    for place in itertools.product(*map(range, windows.size)):
        ends = [p + (n - 1) * s + 1 for p, n, s in zip(place, y.shape[1:-1], windows.strides, strict=True)]
        element = lax.slice(padded, (0, *place, 0), (len(x), *ends, x.shape[-1]), (1, *windows.strides, 1))
        largest = ~taken & ((element == y) | jnp.isnan(element))  # the largest of a window with a NaN is one
        taken |= largest
        owed = jnp.where(largest, gradient, jnp.zeros((), gradient.dtype))
        shift = [p // s for p, s in zip(place, windows.strides, strict=True)]
        owed = jnp.pad(owed, ((0, 0), *((n, most - 1 - n) for n, most in zip(shift, shifts, strict=True)), (0, 0)))
        phase = tuple(p % s for p, s in zip(place, windows.strides, strict=True))
        phases[phase] = phases[phase] + owed if phase in phases else owed
    return (_cut(_interleave(phases, windows.strides), x.shape, windows),)


def _interleave(phases: dict[tuple[int, ...], jax.Array], strides: tuple[int, ...]) -> jax.Array:
    """One array with `phases[phase]` at `phase`, `phase + stride`, ...; zeros where there is none."""
    for axis in reversed(range(len(strides))):
        zero = jnp.zeros_like(next(iter(phases.values())))
        joined = {}
        for head in {phase[:axis] for phase in phases}:
            parts = [phases.get((*head, i), zero) for i in range(strides[axis])]
            interleaved = jnp.stack(parts, axis=axis + 2)
            joined[head] = lax.collapse(interleaved, axis + 1, axis + 3)
        phases = joined
    return phases[()]


def _cut(whole: jax.Array, shape: tuple[int, ...], windows: Windows) -> jax.Array:
    """`shape` of the whole, without padding; what no window saw is filled up with zeros."""
    starts = [before for before, _ in windows.padding]
    ends = [before + size for before, size in zip(starts, shape[1:-1], strict=True)]
    missing = [max(0, end - there) for end, there in zip(ends, whole.shape[1:-1], strict=True)]
    whole = jnp.pad(whole, ((0, 0), *((0, m) for m in missing), (0, 0)))
    return lax.slice(whole, (0, *starts, 0), (shape[0], *ends, shape[-1]))


_with_quick_gradient.defvjp(_forward_rule, _backward_rule)
