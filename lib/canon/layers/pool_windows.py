"""Windows that slide over images, and what lies at each place in them."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

MOST_PLACES = 25


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

    @property
    def overlap(self) -> bool:
        """Whether an element can lie in more than one of them."""
        return any(size > stride for size, stride in zip(self.size, self.strides, strict=True))

    @property
    def are_small(self) -> bool:
        """Whether a program may hold an operation for each place in a window."""
        return math.prod(self.size) <= MOST_PLACES

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

    def take(self, x: jax.Array, initial: float) -> list[jax.Array]:
        """For each place in a window, row by row, the elements there of all windows; padding is made of `initial`.

        `[batch, *spatial, channels] -> [batch, *windows, channels]`, as many as a window has elements.
        """
        around = [(0, 0, 0), *((before, after, 0) for before, after in self.padding), (0, 0, 0)]
        padded = lax.pad(x, np.array(initial, x.dtype)[()], around)
        found = []
        for place in self._places():
            ends = [size - f + at + 1 for size, f, at in zip(padded.shape[1:-1], self.size, place, strict=True)]
            strides = (1, *self.strides, 1)
            found.append(lax.slice(padded, (0, *place, 0), (len(x), *ends, x.shape[-1]), strides))
        return found

    def give_back(self, elements: Sequence[jax.Array], spatial: Sequence[int]) -> jax.Array:
        """The transpose of `take`, for images of so many pixels: each is the sum of its elements in all windows."""
        total = None
        for element, place in zip(elements, self._places(), strict=True):
            padding = [(0, 0, 0)]
            of_axes = zip(spatial, place, element.shape[1:-1], self.strides, self.padding, strict=True)
            for size, at, windows, stride, (before, _) in of_axes:
                reach = (windows - 1) * stride + 1
                padding.append((at - before, size - (at - before) - reach, stride - 1))
            part = lax.pad(element, jnp.zeros((), element.dtype), [*padding, (0, 0, 0)])
            total = part if total is None else total + part
        return total

    def _places(self) -> itertools.product:
        return itertools.product(*map(range, self.size))
