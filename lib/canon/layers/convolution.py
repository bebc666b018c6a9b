"""Convolution and transposed convolution, in any number of dimensions.

Flax's `Conv` does the work. What is added: half and full padding, groups in transposed convolutions, and errors that
name the layer.
"""

from collections.abc import Callable, Sequence

import jax
from flax import linen as nn
from jax import lax
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.quick_convolution import convolve
from canon.layers.windows import Padding, check_window, explicit_padding, fits, layer_name, per_axis, times


class Conv(nn.Conv):
    """Flax's `Conv`, `[..., *spatial, channels] -> [..., *spatial', features]`, with more paddings and clear errors.

    The number of spatial axes is that of `kernel_size`. `padding` may also be `half` or `full`: see
    `canon.layers.windows`. Parameters: `kernel` `[*kernel_size, channels / groups, features]` and `bias` `[features]`.

    Raises:
      UserError: the window does not fit into the input, or the groups do not divide the channels or the features.
    """

    conv_general_dilated: Callable[..., jax.Array] | None = convolve

    def __post_init__(self):
        self.kernel_size = per_axis("kernel_size", self.kernel_size)
        axes = len(self.kernel_size)
        self.strides, self.input_dilation = (
            per_axis(name, getattr(self, name), axes) for name in ("strides", "input_dilation")
        )
        self.padding = explicit_padding(self.padding, self.kernel_size, self._dilation)
        super().__post_init__()

    @property
    def _dilation(self) -> tuple[int, ...]:
        return per_axis("kernel_dilation", self.kernel_dilation, len(self.kernel_size))

    def __call__(self, inputs: jax.Array) -> jax.Array:
        _check_groups(self, inputs.shape[-1])
        spatial = inputs.shape[-1 - len(self.kernel_size) : -1]
        size = [(s - 1) * d + 1 if s else 0 for s, d in zip(spatial, self.input_dilation, strict=True)]
        check_window(self, size, self.kernel_size, self._dilation, self.padding)
        return super().__call__(inputs)


class ConvTranspose(nn.Module):
    """The transpose of the convolution with the same arguments: it makes small maps large.

    `[batch, *spatial, channels] -> [batch, *spatial', features]` with spatial' = (spatial − 1) S − 2P + D(F − 1) + 1 +
    output_padding: a size that the convolution would bring back to `spatial`. Parameters: `kernel`
    `[*kernel_size, channels / groups, features]` and `bias` `[features]`.

    Attributes:
      features: channels of the result.
      kernel_size: F for each spatial axis; their number is that of the axes.
      strides: S, of the convolution that is transposed.
      padding: P, likewise; `SAME` makes spatial' = spatial × S.
      kernel_dilation: D.
      feature_group_count: groups of channels that do not see each other.
      output_padding: rows and columns to add at the far end, below S: a convolution with stride forgets up to S − 1.
      use_bias: whether there is one.
      dtype: of the computation; None takes that of input and parameters.
      kernel_init: initializer of the kernel.

    Raises:
      UserError: the groups do not divide, the output padding is not below the stride, or nothing is left.
    """

    features: int
    kernel_size: Sequence[int]
    strides: int | Sequence[int] = 1
    padding: Padding = 0
    kernel_dilation: int | Sequence[int] = 1
    feature_group_count: int = 1
    output_padding: int | Sequence[int] = 0
    use_bias: bool = True
    dtype: jax.typing.DTypeLike | None = None
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        window = per_axis("kernel_size", self.kernel_size)
        axes = len(window)
        strides = per_axis("strides", self.strides, axes)
        dilation = per_axis("kernel_dilation", self.kernel_dilation, axes)
        padding = self._padding(window, strides, dilation)
        _check_groups(self, inputs.shape[-1])
        for size, f, s, d, p in zip(inputs.shape[1:-1], window, strides, dilation, padding, strict=True):
            if not (size and fits((size - 1) * s + 1 + sum(p), f, d)):
                raise UserError(f"layer {layer_name(self)}: its padding leaves nothing of {times(inputs.shape[1:-1])}")

        shape = (*window, inputs.shape[-1] // self.feature_group_count, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32) if self.use_bias else None
        inputs, kernel, bias = nn.dtypes.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        channels_last = (0, axes + 1, *range(1, axes + 1))
        outputs = lax.conv_general_dilated(
            inputs,
            jnp.flip(kernel, range(axes)),
            window_strides=(1,) * axes,
            padding=padding,
            lhs_dilation=strides,
            rhs_dilation=dilation,
            dimension_numbers=lax.ConvDimensionNumbers(channels_last, (axes + 1, axes, *range(axes)), channels_last),
            feature_group_count=self.feature_group_count,
        )
        return outputs if bias is None else outputs + bias.reshape((1,) * (axes + 1) + (-1,))

    def _padding(self, window, strides, dilation) -> list[tuple[int, int]]:
        """What to add to the input, its elements `strides` apart, so that a plain convolution gives the transpose."""
        extra = per_axis("output_padding", self.output_padding, len(window), least=0)
        if any(not 0 <= e < s for e, s in zip(extra, strides, strict=True)):
            raise UserError(
                f"layer {layer_name(self)}: output_padding must be at least 0 and below the stride {times(strides)}, "
                f"not {times(extra)}"
            )
        reach = [d * (f - 1) for f, d in zip(window, dilation, strict=True)]
        padding = explicit_padding(self.padding, window, dilation)
        if padding == "VALID":
            padding = [(0, 0)] * len(window)
        elif padding == "SAME":
            # A stride beyond the window skips what lies between: nothing is cut off, and the far end is filled up.
            surplus = [r + 1 - s for r, s in zip(reach, strides, strict=True)]
            padding = [(max(n, 0) // 2, n - max(n, 0) // 2) for n in surplus]
        elif isinstance(padding, str):
            raise UserError(f"layer {layer_name(self)}: a transposed convolution has no padding {self.padding!r}")
        return [(r - lo, r - hi + e) for r, (lo, hi), e in zip(reach, padding, extra, strict=True)]


def _check_groups(layer: Conv | ConvTranspose, channels: int) -> None:
    groups, features = layer.feature_group_count, layer.features
    if groups < 1 or channels % groups or features % groups:
        raise UserError(
            f"layer {layer_name(layer)}: {groups} groups do not divide its {channels} input channels "
            f"and {features} features evenly"
        )
