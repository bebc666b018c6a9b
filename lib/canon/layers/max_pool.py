"""The largest value of each window, with a gradient that a CPU computes quickly.

XLA has one operation for the gradient of a max pool, and its CPU backend runs it one element after another: on the
first pool of `alexnet_fig1` it took a third of the train step.
"""

import functools

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from canon.layers import quick
from canon.layers.materialized import materialized
from canon.layers.pool_windows import Windows


def max_pool(x: jax.Array, windows: Windows) -> jax.Array:
    """The largest value of each window: `[batch, *spatial, channels] -> [batch, *spatial', channels]`, of a real dtype.

    Padding never wins. Where several elements of a window are largest, the first one has the gradient. On a CPU
    forward-mode differentiation (`jax.jvp`) stops here, though not at the gradient.
    """
    if quick.is_on() and windows.are_small and jnp.issubdtype(x.dtype, jnp.floating):
        return _quick(materialized(x), windows)
    return _plain(x, windows)


def _plain(x: jax.Array, windows: Windows) -> jax.Array:
    lowest = -np.inf if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.iinfo(x.dtype).min
    return windows.reduce(x, lowest, lax.max)


def _forward(x: jax.Array, windows: Windows) -> jax.Array:
    return functools.reduce(jnp.maximum, windows.take(x, -np.inf))


_quick = jax.custom_vjp(_forward, nondiff_argnums=(1,))


def _forward_rule(x, windows):
    y = _forward(x, windows)  # which has a forward mode, for that of the gradient
    return y, (x, y)


def _backward_rule(windows, residuals, gradient):
    """First at which place in its window each largest element is, then what each place is owed."""
    x, y = residuals
    elements = windows.take(x, -np.inf)
    places = np.arange(len(elements), dtype=np.uint8)
    largest = jnp.full(y.shape, len(elements), np.uint8)
    for place, element in reversed(list(zip(places, elements, strict=True))):
        # The largest of a window with a NaN is one.
        largest = jnp.where((element == y) | jnp.isnan(element), place, largest)
    largest, gradient = materialized((largest, gradient))
    owed = [jnp.where(largest == place, gradient, jnp.zeros((), gradient.dtype)) for place in places]
    return (windows.give_back(owed, x.shape[1:-1]),)


_quick.defvjp(_forward_rule, _backward_rule)
