"""The residual building block and its shortcuts.

He, Zhang, Ren and Sun 2015, "Deep residual learning for image recognition", sections 3.2, 3.3 and 4.1.
"""

from functools import partial

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.initializers import he_normal

SHORTCUTS = ("A", "B", "C", "none")

conv = partial(nn.Conv, use_bias=False, kernel_init=he_normal)
batch_norm = partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)


def check_shortcut(shortcut: str) -> None:
    """Raises `UserError` unless `shortcut` is one of `SHORTCUTS`."""
    if shortcut not in SHORTCUTS:
        raise UserError(
            f"shortcut must be A (identity, zero-padded), B (projection where the size changes), "
            f"C (projection everywhere) or none (a plain net), not {shortcut!r}"
        )


def zero_padded_identity(x: jax.Array, features: int, stride: int) -> jax.Array:
    """Option A: every `stride`-th pixel, with zeros for the features that `x` lacks. It has no parameters.

    Args:
      x: `[batch, height, width, channels]`.
      features: channels of the result, at least `channels`.
      stride: distance between the pixels that are kept.

    Returns:
      `[batch, ceil(height / stride), ceil(width / stride), features]`.
    """
    x = x[:, ::stride, ::stride, :]
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, each with batch normalisation, and a shortcut around both (figure 2, left).

    `[batch, height, width, channels] -> [batch, ceil(height / stride), ceil(width / stride), features]`.

    Attributes:
      features: channels of both convolutions.
      stride: of the first convolution, and of the shortcut.
      shortcut: `A`, `B`, `C`, or `none`, which makes the block two plain layers.
    """

    features: int
    stride: int = 1
    shortcut: str = "A"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_shortcut(self.shortcut)
        norm = partial(batch_norm, use_running_average=not train)
        strides = (self.stride, self.stride)

        y = conv(self.features, (3, 3), strides=strides, padding=1, name="conv1")(x)
        y = nn.relu(norm(name="norm1")(y))
        y = conv(self.features, (3, 3), padding=1, name="conv2")(y)
        y = norm(name="norm2")(y)

        size_changes = self.stride != 1 or x.shape[-1] != self.features
        if self.shortcut == "none":
            return nn.relu(y)
        if self.shortcut == "C" or (self.shortcut == "B" and size_changes):
            x = conv(self.features, (1, 1), strides=strides, padding=0, name="projection")(x)
            x = norm(name="projection_norm")(x)
        elif size_changes:
            x = zero_padded_identity(x, self.features, self.stride)
        return nn.relu(x + y)
