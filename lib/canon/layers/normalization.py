"""Normalisation: of a batch, and of neighbouring channels."""

import contextlib
import contextvars
from collections.abc import Iterator

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.precision import at_least_float32
from canon.layers.windows import layer_name

_AXIS: contextvars.ContextVar[str | None] = contextvars.ContextVar("axis of the batch's parts", default=None)


@contextlib.contextmanager
def synchronized(axis: str) -> Iterator[None]:
    """Within, `BatchNorm` sees all parts of a batch that is cut up along a mapped axis of devices, and not just one.

    A network says nothing of devices; whoever maps it over them does.
    """
    before = _AXIS.set(axis)
    try:
        yield
    finally:
        _AXIS.reset(before)


class BatchNorm(nn.BatchNorm):
    """Flax's `BatchNorm` with the constants of the residual nets, and its arithmetic in float32 at least.

    Ioffe and Szegedy 2015. Any shape with channels last; the result has the input's dtype. Of a batch that is cut up
    over mapped devices it sees one part, unless `synchronized` says otherwise.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    def __post_init__(self):
        self.axis_name = self.axis_name or _AXIS.get()
        super().__post_init__()

    def __call__(self, x: jax.Array, **kwargs) -> jax.Array:
        kept = {name: leaf.dtype for name, leaf in self.variables.get("batch_stats", {}).items()}
        y = super().__call__(x.astype(at_least_float32(x.dtype)), **kwargs).astype(x.dtype)
        if self.is_mutable_collection("batch_stats"):
            for name, dtype in kept.items():  # Flax lets a float64 input widen them, and the state with them
                self.put_variable("batch_stats", name, self.get_variable("batch_stats", name).astype(dtype))
        return y


class LocalResponseNorm(nn.Module):
    """Competition between neighbouring channels: b_i = a_i / (k + α Σ_j a_j²)^β.

    Krizhevsky et al. 2012, section 3.3. The sum goes over `size` channels around i, as many as there are; it is not
    divided by their number, as PyTorch's and Caffe's is. `[..., channels]`, likewise out.

    Attributes:
      size: n, an odd number of channels.
      alpha: α.
      beta: β.
      k: k, above 0.

    Raises:
      UserError: the size is even.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.size < 1 or self.size % 2 == 0:
            raise UserError(f"layer {layer_name(self)}: the size must be odd, not {self.size}")
        channels, half = x.shape[-1], self.size // 2
        wide = x.astype(at_least_float32(x.dtype))
        squares = jnp.pad(jnp.square(wide), [(0, 0)] * (x.ndim - 1) + [(half, half)])
        # A handful of shifted sums: far faster than a window's reduction along the channels, and so is its gradient.
        total = sum(squares[..., i : i + channels] for i in range(self.size))
        return (wide * (self.k + self.alpha * total) ** -self.beta).astype(x.dtype)
