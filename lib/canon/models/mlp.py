"""The multi-layer perceptron: Rumelhart, Hinton and Williams 1986, with the rectifiers of Nair and Hinton 2010."""

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.activations import Activation, activation
from canon.layers.initializers import he_normal, lecun_normal
from canon.models.image_classifier import ImageClassifier, flatten


class MLP(ImageClassifier):
    """Fully connected hidden layers, each with a nonlinearity and dropout, and a linear layer to the classes.

    `[batch, ...] -> [batch, num_classes]`: all axes but the first are flattened; the result is logits. Weights begin as
    N(0, 2 / fan_in) under rectifiers (He et al. 2015), else as N(0, 1 / fan_in) (LeCun et al. 1998).

    Attributes:
      hidden: units of each hidden layer, from input to output. (800, 800) is the MNIST network of the literature.
      activation: `relu`, `tanh`, `sigmoid`, or another of `canon.layers.activations`.
      initial_scale: by which all initial weights are multiplied; above 1, a network that is sure of what it guesses.
      input_dropout_rate: share of the pixels that training sets to zero, at least 0 and below 1.
      num_classes, dtype: see `ImageClassifier`.
      dropout_rate: share of each hidden layer's units that training sets to zero, at least 0 and below 1.
    """

    num_classes: int = 10
    hidden: tuple[int, ...] = (800, 800)
    activation: str = "relu"
    initial_scale: float = 1.0
    input_dropout_rate: float = 0.0

    def __post_init__(self):
        if any(units < 1 for units in self.hidden):
            raise UserError(f"mlp: every hidden layer needs at least one unit, not hidden={tuple(self.hidden)}")
        if not self.initial_scale > 0:
            raise UserError(f"mlp: initial_scale must be above 0, not {self.initial_scale}")
        if not 0 <= self.input_dropout_rate < 1:
            raise UserError(f"mlp: input_dropout_rate must be at least 0 and below 1, not {self.input_dropout_rate}")
        activation(self.activation)
        super().__post_init__()

    @property
    def native_shape(self) -> tuple[int, int, int]:
        return (28, 28, 1)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        init = self._initializer(he_normal if self.activation in ("relu", "relu_by_hand") else lecun_normal)
        x = flatten(x)
        if self.input_dropout_rate:
            x = nn.Dropout(self.input_dropout_rate, deterministic=not train, name="dropout0")(x)
        for i, units in enumerate(self.hidden, start=1):
            x = nn.Dense(units, kernel_init=init, dtype=self.dtype, name=f"hidden{i}")(x)
            x = Activation(activation(self.activation), name=f"{self.activation}{i}")(x)
            x = self._dropout(x, train, name=f"dropout{i}")
        return self._classify(x, self._initializer(he_normal))

    def _initializer(self, init: nn.initializers.Initializer) -> nn.initializers.Initializer:
        if self.initial_scale == 1:
            return init
        return lambda key, shape, dtype: self.initial_scale * init(key, shape, dtype)
