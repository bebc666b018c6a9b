"""Highway layers: Srivastava, Greff and Schmidhuber 2015, "Highway networks", equation 3."""

from collections.abc import Callable

import jax
from flax import linen as nn


class Highway(nn.Module):
    """y = H(x) T(x) + x (1 − T(x)), `[..., features] -> [..., features]`: a gate says how much of x is transformed.

    H(x) = activation(x W + b), the layer `transform`, and T(x) = σ(x W_T + b_T), the layer `gate`.

    Attributes:
      activation: of H.
      gate_bias: where b_T begins; below 0 the layer at first lets x through (section 2.2 there: −1 to −3).
      dtype: of the computation; None takes that of input and parameters.
    """

    activation: Callable[[jax.Array], jax.Array] = nn.tanh
    gate_bias: float = -1.0
    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        features = x.shape[-1]
        h = self.activation(nn.Dense(features, dtype=self.dtype, name="transform")(x))
        bias = nn.initializers.constant(self.gate_bias)
        t = nn.sigmoid(nn.Dense(features, dtype=self.dtype, bias_init=bias, name="gate")(x))
        return h * t + x * (1 - t)
