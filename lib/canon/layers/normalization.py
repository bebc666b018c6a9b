"""Normalisation: of a batch, and of neighbouring channels."""

import contextlib
import contextvars
from collections.abc import Iterator

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers import quick
from canon.layers.batch_moments import normalize
from canon.layers.materialized import materialized
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

    @nn.compact
    def __call__(self, x: jax.Array, use_running_average: bool | None = None, **kwargs) -> jax.Array:
        average = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        is_plain = self.use_scale and self.use_bias and self.use_fast_variance and not kwargs
        is_plain = is_plain and self.axis_name is None and self.axis == -1 and self.dtype is None
        if quick.is_on() and is_plain and not average:
            return self._of_batch(x)
        return self._as_flax(x, use_running_average=use_running_average, **kwargs)

    def _of_batch(self, x: jax.Array) -> jax.Array:
        """As Flax has it, with the quicker arithmetic of `canon.layers.batch_moments`."""
        channels = x.shape[-1:]
        statistics = {
            "mean": self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32),
            "var": self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32),
        }
        scale = self.param("scale", self.scale_init, channels, self.param_dtype)
        bias = self.param("bias", self.bias_init, channels, self.param_dtype)
        wide = x.astype(at_least_float32(x.dtype))
        y, mean, variance = normalize(wide, scale.astype(wide.dtype), bias.astype(wide.dtype), self.epsilon)
        if not self.is_initializing():
            for kept, of_batch in ((statistics["mean"], mean), (statistics["var"], variance)):
                moved = self.momentum * kept.value + (1 - self.momentum) * of_batch.astype(kept.value.dtype)
                kept.value = moved
        return y.astype(x.dtype)

    def _as_flax(self, x: jax.Array, **kwargs) -> jax.Array:
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
        # Kept: in the gradient each of them would raise it to its power again.
        total = materialized(sum(squares[..., i : i + channels] for i in range(self.size)))
        return (wide * (self.k + self.alpha * total) ** -self.beta).astype(x.dtype)
