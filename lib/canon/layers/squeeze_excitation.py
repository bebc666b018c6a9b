"""The squeeze-and-excitation block: Hu, Shen and Sun 2017, "Squeeze-and-excitation networks", section 3."""

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.activations import Activation
from canon.layers.initializers import he_normal
from canon.layers.pooling import GlobalAvgPool
from canon.layers.windows import layer_name


class SqueezeExcitation(nn.Module):
    """Weighs each channel by a gate that sees all channels, averaged over the image.

    `[batch, *spatial, channels]`, likewise out.

    Attributes:
      reduction: r, how much narrower the layer between is (16 in the paper).
      dtype: of the computation.

    Raises:
      UserError: the reduction does not divide the channels.
    """

    reduction: int = 16
    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        if self.reduction < 1 or channels % self.reduction:
            raise UserError(f"layer {layer_name(self)}: reduction {self.reduction} does not divide {channels} channels")
        z = GlobalAvgPool(name="squeeze")(x)
        z = nn.Dense(channels // self.reduction, kernel_init=he_normal, dtype=self.dtype, name="reduce")(z)
        z = Activation(name="relu")(z)
        z = nn.Dense(channels, dtype=self.dtype, name="expand")(z)
        gate = Activation(nn.sigmoid, name="gate")(z)
        return x.astype(gate.dtype) * gate.reshape(gate.shape[0], *(1,) * (x.ndim - 2), channels)
