"""Many to one: a recurrent network that reads a sequence and says of which class it is."""

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.layers.precision import at_least_float32
from canon.layers.recurrence import last_outputs
from canon.models.recurrent_model import RecurrentModel


class SequenceClassifier(RecurrentModel):
    """`[batch, time, features]` and lengths `[batch]` to logits `[batch, num_classes]`, from the last step's output.

    Attributes:
      bidirectional: read each sequence in both directions.
      the rest: see `RecurrentModel`; dropout is between layers and before the logits.
    """

    num_classes: int = 10
    bidirectional: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, lengths: jax.Array | None = None, train: bool = False) -> jax.Array:
        outputs, _ = self._stack(bidirectional=self.bidirectional, name="recurrence")(x, lengths=lengths, train=train)
        last = summarize(outputs, lengths, self.bidirectional)
        last = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(last)
        return nn.Dense(self.num_classes, dtype=at_least_float32(self.dtype), name="logits")(last)


def summarize(outputs: jax.Array, lengths: jax.Array | None, bidirectional: bool) -> jax.Array:
    """What a recurrent layer put out once it had read the whole sequence: `[batch, time, width] -> [batch, width]`.

    That is its last step's output; of both directions, where there are two, that of the forward one at the last step
    and that of the backward one at the first.
    """
    last = last_outputs(outputs, lengths)
    if not bidirectional:
        return last
    half = outputs.shape[-1] // 2
    return jnp.concatenate([last[:, :half], outputs[:, 0, half:]], axis=-1)
