"""The multi-layer perceptron: Rumelhart, Hinton and Williams 1986, with the rectifiers of Nair and Hinton 2010."""

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.initializers import he_normal


class MLP(nn.Module):
    """Fully connected hidden layers, each with a rectifier and dropout, and a linear layer to the classes.

    `[batch, ...] -> [batch, num_classes]`: all axes but the first are flattened; the result is logits.

    Attributes:
      num_classes: size of the output.
      hidden: units of each hidden layer, from input to output. (800, 800) is the MNIST network of the literature.
      dropout_rate: share of each hidden layer's units that training sets to zero, at least 0 and below 1.
    """

    num_classes: int = 10
    hidden: tuple[int, ...] = (800, 800)
    dropout_rate: float = 0.0

    def __post_init__(self):
        if any(units < 1 for units in self.hidden):
            raise UserError(f"mlp: every hidden layer needs at least one unit, not hidden={tuple(self.hidden)}")
        if not 0 <= self.dropout_rate < 1:
            raise UserError(f"mlp: dropout_rate must be at least 0 and below 1, not {self.dropout_rate}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for i, units in enumerate(self.hidden, start=1):
            x = nn.relu(nn.Dense(units, kernel_init=he_normal, name=f"hidden{i}")(x))
            x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return nn.Dense(self.num_classes, name="classifier")(x)  # no rectifier follows: variance 1 / fan_in
