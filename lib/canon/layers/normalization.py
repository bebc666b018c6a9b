"""Normalisation: of a batch, and of neighbouring channels."""

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.layers.precision import at_least_float32


class BatchNorm(nn.BatchNorm):
    """Flax's `BatchNorm` with the constants of the residual nets, and its arithmetic in float32 at least.

    Ioffe and Szegedy 2015. Any shape with channels last; the result has the input's dtype.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    def __call__(self, x: jax.Array, **kwargs) -> jax.Array:
        return super().__call__(x.astype(at_least_float32(x.dtype)), **kwargs).astype(x.dtype)


class LocalResponseNorm(nn.Module):
    """Competition between neighbouring channels: b_i = a_i / (k + α Σ_j a_j²)^β.

    Krizhevsky et al. 2012, section 3.3. The sum goes over `size` channels around i, as many as there are; it is not
    divided by their number, as PyTorch's and Caffe's is. `[..., channels]`, likewise out.

    Attributes:
      size: n, an odd number of channels.
      alpha: α.
      beta: β.
      k: k, above 0.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0

    def __call__(self, x: jax.Array) -> jax.Array:
        channels, half = x.shape[-1], self.size // 2
        wide = x.astype(at_least_float32(x.dtype))
        squares = jnp.pad(jnp.square(wide), [(0, 0)] * (x.ndim - 1) + [(half, half)])
        # A handful of shifted sums: far faster than a window's reduction along the channels, and so is its gradient.
        total = sum(squares[..., i : i + channels] for i in range(self.size))
        return (wide * (self.k + self.alpha * total) ** -self.beta).astype(x.dtype)
