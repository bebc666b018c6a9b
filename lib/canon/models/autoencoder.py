"""An autoencoder: a network that has to give its input back through a layer that is too narrow for it.

Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks".
"""

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.activations import Activation, activation
from canon.layers.initializers import he_normal, lecun_normal
from canon.layers.precision import at_least_float32
from canon.models.image_classifier import ImageClassifier, flatten


class Autoencoder(ImageClassifier):
    """`[batch, ...] -> [batch, num_classes]`, where num_classes is the number of values of an input.

    Hidden layers lead to a linear code and, in reverse order, from it to a linear output. Without hidden layers the
    best that it can learn is the projection on the first principal components: Baldi and Hornik 1989.

    Attributes:
      code: units of the code.
      hidden: units of each layer before the code, from the input on.
      activation: of the hidden layers; one of `canon.layers.activations`.
      num_classes, dtype: see `ImageClassifier`.
      dropout_rate: share of each hidden layer's units that training sets to zero, at least 0 and below 1.
    """

    num_classes: int = 784
    code: int = 30
    hidden: tuple[int, ...] = (1000, 500, 250)
    activation: str = "relu"

    def __post_init__(self):
        if self.code < 1 or any(units < 1 for units in self.hidden):
            raise UserError(
                "Autoencoder: the code and every hidden layer need at least one unit, not "
                f"code={self.code} and hidden={tuple(self.hidden)}"
            )
        activation(self.activation)
        super().__post_init__()

    @property
    def native_shape(self) -> tuple[int, int, int]:
        return (28, 28, 1)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = self._hidden(flatten(x), self.hidden, "encoder", train)
        x = nn.Dense(self.code, kernel_init=lecun_normal, dtype=self.dtype, name="code")(x)
        x = self._hidden(x, self.hidden[::-1], "decoder", train)
        return nn.Dense(
            self.num_classes, kernel_init=lecun_normal, dtype=at_least_float32(self.dtype), name="reconstruction"
        )(x)

    def _hidden(self, x: jax.Array, sizes: tuple[int, ...], half: str, train: bool) -> jax.Array:
        init = he_normal if self.activation in ("relu", "relu_by_hand") else lecun_normal
        for i, units in enumerate(sizes, start=1):
            x = nn.Dense(units, kernel_init=init, dtype=self.dtype, name=f"{half}{i}")(x)
            x = Activation(activation(self.activation), name=f"{half}_{self.activation}{i}")(x)
            x = self._dropout(x, train, name=f"{half}_dropout{i}")
        return x
