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
        self.dtype = check_common(self._title, self.num_classes, self.dropout_rate, self.dtype)
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


def check_common(title: str, num_classes: int, dropout_rate: float, dtype: str | type | np.dtype) -> str:
    """The name of `dtype`, once it and the other arguments that all models have are known to be in range.

    Raises:
      UserError: one is not; the message begins with `title`.
    """
    if num_classes < 1:
        raise UserError(f"{title}: num_classes must be at least 1, not {num_classes}")
    if not 0 <= dropout_rate < 1:
        raise UserError(f"{title}: dropout_rate must be at least 0 and below 1, not {dropout_rate}")
    if isinstance(dtype, type | np.dtype):
        dtype = np.dtype(dtype).name  # jnp.bfloat16, as JAX's users write it
    if dtype not in DTYPES:
        raise UserError(f"{title}: dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    if dtype == "float64" and not jax.config.jax_enable_x64:
        raise UserError(f"{title}: dtype float64 needs JAX_ENABLE_X64=true")
    return dtype


def flatten(x: jax.Array) -> jax.Array:
    """`[batch, ...] -> [batch, features]`. Raises `UserError` where the images have no pixels or no channels."""
    if 0 in x.shape[1:]:
        raise UserError(f"images of {times(x.shape[1:])} hold no numbers")
    return x.reshape(x.shape[0], -1)
