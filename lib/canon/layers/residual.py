"""The residual building blocks and their shortcuts.

He, Zhang, Ren and Sun 2015, "Deep residual learning for image recognition", sections 3.2, 3.3 and 4.1, figure 5.
"""

from functools import partial

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.activations import Activation
from canon.layers.convolution import Conv
from canon.layers.initializers import he_normal
from canon.layers.normalization import BatchNorm
from canon.layers.squeeze_excitation import SqueezeExcitation

SHORTCUTS = ("A", "B", "C", "none")
BOTTLENECK_STRIDES = ("1x1", "3x3")

conv = partial(Conv, use_bias=False, kernel_init=he_normal)


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


class _Block(nn.Module):
    """What the two blocks share: the shortcut, the gate before it, and the rectifier after it."""

    features: int
    stride: int = 1
    shortcut: str = "A"
    reduction: int = 0
    dtype: jax.typing.DTypeLike | None = None

    def _join(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        if self.reduction:
            y = SqueezeExcitation(self.reduction, self.dtype, name="gate")(y)
        x = x.astype(y.dtype)
        size_changes = self.stride != 1 or x.shape[-1] != y.shape[-1]
        if self.shortcut == "C" or (self.shortcut == "B" and size_changes):
            strides = (self.stride, self.stride)
            x = conv(y.shape[-1], (1, 1), strides=strides, dtype=self.dtype, padding=0, name="projection")(x)
            x = BatchNorm(name="projection_norm")(x, use_running_average=not train)
        elif size_changes and self.shortcut == "A":
            x = zero_padded_identity(x, y.shape[-1], self.stride)
        return Activation(name="relu")(y if self.shortcut == "none" else x + y)


class BasicBlock(_Block):
    """Two 3×3 convolutions, each with batch normalisation, and a shortcut around both (figure 5, left).

    `[batch, height, width, channels] -> [batch, ceil(height / stride), ceil(width / stride), features]`.

    Attributes:
      features: channels of both convolutions.
      stride: of the first convolution, and of the shortcut.
      shortcut: `A`, `B`, `C`, or `none`, which makes the block two plain layers.
      reduction: above 0, a squeeze-and-excitation gate with this reduction weighs the channels before the sum.
      dtype: of the computation; None takes that of input and parameters.
    """

    expansion = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_shortcut(self.shortcut)
        strides = (self.stride, self.stride)

        y = conv(self.features, (3, 3), strides=strides, padding=1, dtype=self.dtype, name="conv1")(x)
        y = BatchNorm(name="norm1")(y, use_running_average=not train)
        y = Activation(name="relu1")(y)
        y = conv(self.features, (3, 3), padding=1, dtype=self.dtype, name="conv2")(y)
        y = BatchNorm(name="norm2")(y, use_running_average=not train)
        return self._join(x, y, train)


class BottleneckBlock(_Block):
    """1×1, 3×3 and 1×1 convolutions, each with batch normalisation, and a shortcut around all (figure 5, right).

    `[batch, height, width, channels] -> [batch, ceil(height / stride), ceil(width / stride), 4 features]`.

    Attributes:
      features: channels of the first two convolutions; the third has four times as many.
      stride, shortcut, reduction, dtype: as those of `BasicBlock`.
      stride_in: which convolution has the stride: the first, `1x1`, as in the paper's networks, or the `3x3`, as in
        PyTorch's, which costs 6% more multiply-adds and is a little more accurate.
    """

    stride_in: str = "1x1"

    expansion = 4

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_shortcut(self.shortcut)
        check_bottleneck_stride(self.stride_in)
        strides = (self.stride, self.stride)
        first, second = (strides, (1, 1)) if self.stride_in == "1x1" else ((1, 1), strides)

        y = conv(self.features, (1, 1), strides=first, padding=0, dtype=self.dtype, name="conv1")(x)
        y = BatchNorm(name="norm1")(y, use_running_average=not train)
        y = Activation(name="relu1")(y)
        y = conv(self.features, (3, 3), strides=second, padding=1, dtype=self.dtype, name="conv2")(y)
        y = BatchNorm(name="norm2")(y, use_running_average=not train)
        y = Activation(name="relu2")(y)
        y = conv(self.expansion * self.features, (1, 1), padding=0, dtype=self.dtype, name="conv3")(y)
        y = BatchNorm(name="norm3")(y, use_running_average=not train)
        return self._join(x, y, train)


def check_bottleneck_stride(stride_in: str) -> None:
    """Raises `UserError` unless `stride_in` is one of `BOTTLENECK_STRIDES`."""
    if stride_in not in BOTTLENECK_STRIDES:
        raise UserError(f"bottleneck_stride must be one of {', '.join(BOTTLENECK_STRIDES)}, not {stride_in!r}")
