"""Many to many in step: a recurrent network that says something of each step of a sequence.

Graves and Schmidhuber 2005, "Framewise phoneme classification with bidirectional LSTM and other neural network
architectures".
"""

import jax
from flax import linen as nn

from canon.layers.precision import at_least_float32
from canon.models.recurrent_model import RecurrentModel


class Tagger(RecurrentModel):
    """`[batch, time, features]` and lengths `[batch]` to logits `[batch, time, num_classes]`.

    Past a sequence's end logits mean nothing.

    Attributes:
      bidirectional: what is said of a step depends on what comes after it too.
      the rest: see `RecurrentModel`; dropout is between layers and before the logits.
    """

    num_classes: int = 10
    bidirectional: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, lengths: jax.Array | None = None, train: bool = False) -> jax.Array:
        x, _ = self._stack(bidirectional=self.bidirectional, name="recurrence")(x, lengths=lengths, train=train)
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(x)
        return nn.Dense(self.num_classes, dtype=at_least_float32(self.dtype), name="logits")(x)
