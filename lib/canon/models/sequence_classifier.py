"""Many to one: a recurrent network that reads a sequence and says of which class it is."""

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.layers.precision import at_least_float32
from canon.layers.recurrence import last_outputs
from canon.models.recurrent_model import RecurrentModel


class SequenceClassifier(RecurrentModel):
    """`[batch, time, features]` and lengths `[batch]` to logits `[batch, num_classes]`, from the last step's output.

    Of both directions, where there are two: the forward one at the last step, the backward one at the first, each
    having read the whole sequence.

    Attributes:
      bidirectional: read each sequence in both directions.
      the rest: see `RecurrentModel`; dropout is between layers and before the logits.
    """

    num_classes: int = 10
    bidirectional: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, lengths: jax.Array | None = None, train: bool = False) -> jax.Array:
        outputs, _ = self._stack(bidirectional=self.bidirectional, name="recurrence")(x, lengths=lengths, train=train)
        last = last_outputs(outputs, lengths)
        if self.bidirectional:
            last = jnp.concatenate([last[:, : self.features], outputs[:, 0, self.features :]], axis=-1)
        last = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(last)
        return nn.Dense(self.num_classes, dtype=at_least_float32(self.dtype), name="logits")(last)
