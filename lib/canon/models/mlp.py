"""The multi-layer perceptron: Rumelhart, Hinton and Williams 1986, with the rectifiers of Nair and Hinton 2010."""

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.activations import Activation
from canon.layers.initializers import he_normal
from canon.models.image_classifier import ImageClassifier, flatten


class MLP(ImageClassifier):
    """Fully connected hidden layers, each with a rectifier and dropout, and a linear layer to the classes.

    `[batch, ...] -> [batch, num_classes]`: all axes but the first are flattened; the result is logits.

    Attributes:
      hidden: units of each hidden layer, from input to output. (800, 800) is the MNIST network of the literature.
      num_classes, dtype: see `ImageClassifier`.
      dropout_rate: share of each hidden layer's units that training sets to zero, at least 0 and below 1.
    """

    num_classes: int = 10
    hidden: tuple[int, ...] = (800, 800)

    def __post_init__(self):
        if any(units < 1 for units in self.hidden):
            raise UserError(f"mlp: every hidden layer needs at least one unit, not hidden={tuple(self.hidden)}")
        super().__post_init__()

    @property
    def native_shape(self) -> tuple[int, int, int]:
        return (28, 28, 1)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = flatten(x)
        for i, units in enumerate(self.hidden, start=1):
            x = nn.Dense(units, kernel_init=he_normal, dtype=self.dtype, name=f"hidden{i}")(x)
            x = self._dropout(Activation(name=f"relu{i}")(x), train, name=f"dropout{i}")
        return self._classify(x, nn.initializers.lecun_normal())  # no rectifier follows: variance 1 / fan_in
