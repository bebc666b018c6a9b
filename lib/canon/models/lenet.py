"""LeNet-5 as it was published, and as it is taught today.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition", section II.B.
"""

from functools import partial

import jax
import numpy as np
from flax import linen as nn
from jax import lax
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.activations import Activation, scaled_tanh
from canon.layers.convolution import Conv
from canon.layers.initializers import he_normal, uniform_over_fan_in
from canon.layers.pooling import MaxPool
from canon.layers.precision import at_least_float32
from canon.layers.windows import check_window
from canon.models.image_classifier import ImageClassifier, flatten
from canon.models.lenet_bitmaps import BITMAPS

OUTPUTS = ("rbf", "linear")

# Table I: the maps of S2 that each map of C3 sees.
C3_SEES = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip


class Subsampling(nn.Module):
    """The sum of each 2×2 window, times a trainable coefficient and plus a trainable bias for each map.

    `[batch, height, width, maps] -> [batch, height / 2, width / 2, maps]`. Parameters: `coefficient` and `bias`,
    `[maps]` each.
    """

    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        maps = x.shape[-1]
        # A unit has four inputs: 2.4 / 4 bounds its weight as it does the others'.
        coefficient = self.param("coefficient", lambda key, shape: uniform_over_fan_in(key, (4, *shape))[0], (maps,))
        bias = self.param("bias", nn.initializers.zeros, (maps,), jnp.float32)
        x, coefficient, bias = nn.dtypes.promote_dtype(x, coefficient, bias, dtype=self.dtype)
        check_window(self, x.shape[1:-1], (2, 2), (1, 1), "VALID")
        total = lax.reduce_window(x, np.zeros((), x.dtype), lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return total * coefficient + bias


class TableConv(nn.Module):
    """5×5 filters, each output map seeing the input maps that a table gives it.

    `[batch, height, width, maps] -> [batch, height − 4, width − 4, len(table)]`. Parameters: `kernel`
    `[5, 5, connections]`, in the order of the table, and `bias` `[len(table)]`: what is not connected has no weight.

    Attributes:
      table: for each output map, the input maps that it sees.
      dtype: of the computation.
    """

    table: tuple[tuple[int, ...], ...]
    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        check_window(self, x.shape[1:-1], (5, 5), (1, 1), "VALID")
        sources = np.concatenate(self.table)
        targets = np.repeat(np.arange(len(self.table)), [len(maps) for maps in self.table])

        def initialize(key, shape):
            fan_in = np.array([25 * len(self.table[target]) for target in targets], np.float32)
            return jax.random.uniform(key, shape, jnp.float32, -2.4, 2.4) / fan_in

        connections = self.param("kernel", initialize, (5, 5, len(sources)))
        bias = self.param("bias", nn.initializers.zeros, (len(self.table),), jnp.float32)
        x, connections, bias = nn.dtypes.promote_dtype(x, connections, bias, dtype=self.dtype)
        kernel = jnp.zeros((5, 5, x.shape[-1], len(self.table)), connections.dtype)
        kernel = kernel.at[:, :, sources, targets].set(connections)
        x = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return x + bias


class RadialBasis(nn.Module):
    """The squared distance to a fixed pattern for each class, negated: `[batch, 84] -> [batch, num_classes]`.

    Equation 7. The patterns are 7×12 bitmaps of the digits: see `canon.models.lenet_bitmaps`.
    """

    num_classes: int
    dtype: jax.typing.DTypeLike = "float32"

    def __call__(self, x: jax.Array) -> jax.Array:
        patterns = jnp.asarray(BITMAPS[: self.num_classes].reshape(self.num_classes, -1), self.dtype)
        return -jnp.square(x.astype(self.dtype)[:, None] - patterns).sum(axis=-1)


class LeNet5(ImageClassifier):
    """Two convolutions, each with trainable subsampling, a third that sees all that is left, and two more layers.

    `[batch, height, width, channels] -> [batch, num_classes]`. With `output="rbf"` the result is the negated penalty
    of each class (equation 7): the smaller a distance, the larger its logit. The softmax cross-entropy of these is the
    paper's second criterion (equation 9) without its constant for "none of the classes".

    Seven layers, of which the last learns nothing; 60,000 weights on 32×32 grey images and 340,908 connections: section
    II.B. A third layer's missing connections are zeros of a whole kernel here, which takes more multiply-adds.

    Attributes:
      output: `rbf`, the paper's fixed patterns, for at most ten classes; or `linear`.
      num_classes, dropout_rate, dtype: see `ImageClassifier`; the paper has no dropout.

    Raises:
      UserError: the output is none of these, or there are more classes than patterns.
    """

    num_classes: int = 10
    output: str = "rbf"

    def __post_init__(self):
        if self.output not in OUTPUTS:
            raise UserError(f"lenet5: output must be one of {', '.join(OUTPUTS)}, not {self.output!r}")
        if self.output == "rbf" and self.num_classes > len(BITMAPS):
            raise UserError(
                f"lenet5: there are patterns for {len(BITMAPS)} classes, not for {self.num_classes}; use output=linear"
            )
        super().__post_init__()

    @property
    def native_shape(self) -> tuple[int, int, int]:
        return (32, 32, 1)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = partial(Conv, padding="VALID", kernel_init=uniform_over_fan_in, dtype=self.dtype)
        squash = partial(Activation, scaled_tanh)
        x = squash(name="tanh1")(conv(6, (5, 5), name="C1")(x))
        x = squash(name="tanh2")(Subsampling(self.dtype, name="S2")(x))
        x = squash(name="tanh3")(TableConv(C3_SEES, self.dtype, name="C3")(x))
        x = squash(name="tanh4")(Subsampling(self.dtype, name="S4")(x))
        x = squash(name="tanh5")(conv(120, (5, 5), name="C5")(x))
        x = nn.Dense(84, kernel_init=uniform_over_fan_in, dtype=self.dtype, name="F6")(flatten(x))
        x = self._dropout(squash(name="tanh6")(x), train, name="dropout")
        if self.output == "linear":
            return self._classify(x, uniform_over_fan_in, name="output")
        return RadialBasis(self.num_classes, at_least_float32(self.dtype), name="output")(x)


class ModernLeNet5(ImageClassifier):
    """LeNet-5 with rectifiers, max pools, every map of the second convolution seeing all, and a linear output.

    `[batch, height, width, channels] -> [batch, num_classes]`: the result is logits. Two zeros around the 28×28 images
    of MNIST make them the 32×32 of the original. 61,706 parameters.

    Attributes:
      features: of the two convolutions.
      hidden: units of the fully connected layers.
      num_classes, dropout_rate, dtype: see `ImageClassifier`.
    """

    num_classes: int = 10
    features: tuple[int, int] = (6, 16)
    hidden: tuple[int, ...] = (120, 84)

    def __post_init__(self):
        if len(self.features) != 2 or min(self.features) < 1:
            raise UserError(f"lenet5_modern: features must be two numbers of at least 1, not {tuple(self.features)}")
        if any(units < 1 for units in self.hidden):
            raise UserError(f"lenet5_modern: every hidden layer needs a unit, not hidden={tuple(self.hidden)}")
        super().__post_init__()

    @property
    def native_shape(self) -> tuple[int, int, int]:
        return (28, 28, 1)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = partial(Conv, kernel_init=he_normal, dtype=self.dtype)
        x = Activation(name="relu1")(conv(self.features[0], (5, 5), padding=2, name="conv1")(x))
        x = MaxPool(2, name="pool1")(x)
        x = Activation(name="relu2")(conv(self.features[1], (5, 5), padding=0, name="conv2")(x))
        x = flatten(MaxPool(2, name="pool2")(x))
        for i, units in enumerate(self.hidden, start=3):
            x = nn.Dense(units, kernel_init=he_normal, dtype=self.dtype, name=f"fc{i}")(x)
            x = Activation(name=f"relu{i}")(x)
        return self._classify(self._dropout(x, train, name="dropout"), name=f"fc{3 + len(self.hidden)}")
