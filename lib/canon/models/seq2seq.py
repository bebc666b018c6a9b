"""Many to many after the input: one recurrent network reads a sequence, and another writes the answer.

Sutskever, Vinyals and Le 2014, "Sequence to sequence learning with neural networks": all that the second learns of the
sequence is what the first carries at its end.
"""

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.precision import at_least_float32
from canon.layers.recurrence import StackCarry
from canon.models.image_classifier import check_common
from canon.models.recurrent_model import RecurrentModel


class Seq2Seq(RecurrentModel):
    """Source `[batch, time]` int32 with lengths `[batch]`, and the target so far, to logits of its next tokens.

    Attributes:
      num_classes: tokens of the target language.
      num_source_classes: of the source language.
      embedding: features of a token, learned, for each language its own.
      the rest: see `RecurrentModel`; both networks have these sizes, and dropout between layers and before the logits.
    """

    num_source_classes: int = 100
    layers: int = 2
    embedding: int = 128

    def __post_init__(self):
        check_common("Seq2Seq: of the source", self.num_source_classes, 0.0, "float32")
        if self.embedding < 1:
            raise UserError(f"Seq2Seq: embedding must be at least 1, not {self.embedding}")
        super().__post_init__()

    def setup(self):
        self.source_embedding = nn.Embed(self.num_source_classes, self.embedding, dtype=self.dtype)
        self.target_embedding = nn.Embed(self.num_classes, self.embedding, dtype=self.dtype)
        self.encoder = self._stack()
        self.decoder = self._stack()
        self.dropout = nn.Dropout(self.dropout_rate)
        # A softmax of bfloat16 would be too coarse.
        self.logits = nn.Dense(self.num_classes, dtype=at_least_float32(self.dtype))

    def encode(self, source: jax.Array, lengths: jax.Array, train: bool = False) -> StackCarry:
        """What the decoder begins with."""
        return self.encoder(self.source_embedding(source), lengths=lengths, train=train)[1]

    def decode(self, tokens: jax.Array, carry: StackCarry, train: bool = False) -> tuple[jax.Array, StackCarry]:
        """`[batch, time]` tokens to logits `[batch, time, num_classes]` of those after each, and the carry."""
        outputs, carry = self.decoder(self.target_embedding(tokens), carry, train=train)
        return self.logits(self.dropout(outputs, deterministic=not train)), carry

    def __call__(self, source: jax.Array, lengths: jax.Array, tokens: jax.Array, train: bool = False) -> jax.Array:
        """Teacher forcing: logits after each of the target's own `tokens` `[batch, time]`, the first of them <bos>."""
        return self.decode(tokens, self.encode(source, lengths, train), train)[0]
