"""Recurrent networks that read a text and say what comes next, character by character.

Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks"; Graves 2013, section 3.
"""

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.precision import at_least_float32
from canon.layers.recurrence import StackCarry
from canon.models.recurrent_model import RecurrentModel


class CharRNN(RecurrentModel):
    """Tokens to logits of the next ones: `[batch, time]` int32 and a carry to `[batch, time, num_classes]` and a carry.

    Attributes:
      embedding: features of a token, learned; 0: one for each character of the vocabulary, which is 1 where it is.
      skip: see `canon.layers.recurrence.DeepRecurrence`.
      the rest: see `RecurrentModel`; dropout is between layers and before the logits.
    """

    layers: int = 2
    embedding: int = 0
    skip: bool = False

    def __post_init__(self):
        if self.embedding < 0:
            raise UserError(f"CharRNN: embedding must be at least 0, not {self.embedding}")
        super().__post_init__()

    def initial_carry(self, batch_size: int) -> StackCarry:
        """Zeros, for the beginning of a text."""
        return self._stack(parent=None).initial_carry(batch_size)

    @nn.compact
    def __call__(
        self, tokens: jax.Array, carry: StackCarry | None = None, train: bool = False
    ) -> tuple[jax.Array, StackCarry]:
        """Args: tokens, carry: see above, None at the beginning of a text. train: whether there is dropout."""
        if self.embedding:
            x = nn.Embed(self.num_classes, self.embedding, dtype=self.dtype, name="embedding")(tokens)
        else:
            x = nn.one_hot(tokens, self.num_classes, dtype=self.dtype)
        x, carry = self._stack(skip=self.skip, name="recurrence")(x, carry, train=train)
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(x)
        # A softmax of bfloat16 would be too coarse.
        return nn.Dense(self.num_classes, dtype=at_least_float32(self.dtype), name="logits")(x), carry
