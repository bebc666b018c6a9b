"""What every convolutional network can be given."""

import jax
import numpy as np
from flax import linen as nn

from canon.errors import UserError
from canon.layers.initializers import he_normal
from canon.layers.precision import at_least_float32
from canon.layers.windows import times

DTYPES = ("float32", "bfloat16", "float16", "float64")


class ImageClassifier(nn.Module):
    """Images to logits: `[batch, height, width, channels] -> [batch, num_classes]`.

    The channels are those of the images that `init` sees: 1 for grey, 3 for colour, or any other number.

    Attributes:
      num_classes: size of the output.
      dropout_rate: share of the units before a fully connected layer that training sets to zero.
      dtype: of the computation. Parameters, statistics and logits are float32 under `bfloat16` too.
    """

    num_classes: int = 1000
    dropout_rate: float = 0.0
    dtype: str = "float32"

    def __post_init__(self):
        if self.num_classes < 1:
            raise UserError(f"{self._title}: num_classes must be at least 1, not {self.num_classes}")
        if not 0 <= self.dropout_rate < 1:
            raise UserError(f"{self._title}: dropout_rate must be at least 0 and below 1, not {self.dropout_rate}")
        if isinstance(self.dtype, type | np.dtype):
            self.dtype = np.dtype(self.dtype).name  # jnp.bfloat16, as JAX's users write it
        if self.dtype not in DTYPES:
            raise UserError(f"{self._title}: dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")
        if self.dtype == "float64" and not jax.config.jax_enable_x64:
            raise UserError(f"{self._title}: dtype float64 needs JAX_ENABLE_X64=true")
        super().__post_init__()

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images that the paper's network takes."""
        return (224, 224, 3)

    @property
    def _title(self) -> str:
        return type(self).__name__

    def _dropout(self, x: jax.Array, train: bool, name: str) -> jax.Array:
        return nn.Dropout(self.dropout_rate, deterministic=not train, name=name)(x)

    def _classify(self, x: jax.Array, kernel_init=he_normal, name: str = "classifier") -> jax.Array:
        dtype = at_least_float32(self.dtype)  # a softmax of bfloat16 would be too coarse
        return nn.Dense(self.num_classes, dtype=dtype, kernel_init=kernel_init, name=name)(x)


def flatten(x: jax.Array) -> jax.Array:
    """`[batch, ...] -> [batch, features]`. Raises `UserError` where the images have no pixels or no channels."""
    if 0 in x.shape[1:]:
        raise UserError(f"images of {times(x.shape[1:])} hold no numbers")
    return x.reshape(x.shape[0], -1)
