"""Recurrent networks that read a text and say what comes next, character by character.

Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks"; Graves 2013, section 3.
"""

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.precision import at_least_float32
from canon.layers.recurrence import DeepRecurrence, StackCarry
from canon.models.sequence_model import SequenceModel


class CharRNN(SequenceModel):
    """Tokens to logits of the next ones: `[batch, time]` int32 and a carry to `[batch, time, num_classes]` and a carry.

    Attributes:
      cell: one of `canon.layers.cells.CELLS`.
      features: units of each layer.
      layers: how many.
      embedding: features of a token, learned; 0: one for each character of the vocabulary, which is 1 where it is.
      skip: see `canon.layers.recurrence.DeepRecurrence`.
      unroll, forget_bias: see `canon.layers.recurrence.Recurrence`.
      num_classes, dropout_rate, dtype: see `SequenceModel`; dropout is between layers and before the logits.
    """

    cell: str = "lstm"
    features: int = 128
    layers: int = 2
    embedding: int = 0
    skip: bool = False
    unroll: int = 1
    forget_bias: float = 1.0

    def __post_init__(self):
        if self.embedding < 0:
            raise UserError(f"char_rnn: embedding must be at least 0, not {self.embedding}")
        self._stack(parent=None)  # its arguments are checked here, before anything is traced
        super().__post_init__()

    def _stack(self, **kwargs) -> DeepRecurrence:
        return DeepRecurrence(
            self.features,
            layers=self.layers,
            cell=self.cell,
            skip=self.skip,
            unroll=self.unroll,
            forget_bias=self.forget_bias,
            dropout_rate=self.dropout_rate,
            dtype=self.dtype,
            **kwargs,
        )

    def initial_carry(self, batch_size: int) -> StackCarry:
        """Zeros, for the beginning of a text."""
        return self._stack(parent=None).initial_carry(batch_size)

    @nn.compact
    def __call__(
        self, tokens: jax.Array, carry: StackCarry | None = None, train: bool = False
    ) -> tuple[jax.Array, StackCarry]:
        if self.embedding:
            x = nn.Embed(self.num_classes, self.embedding, dtype=self.dtype, name="embedding")(tokens)
        else:
            x = nn.one_hot(tokens, self.num_classes, dtype=self.dtype)
        x, carry = self._stack(name="recurrence")(x, carry, train=train)
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(x)
        dtype = at_least_float32(self.dtype)  # a softmax of bfloat16 would be too coarse
        return nn.Dense(self.num_classes, dtype=dtype, name="logits")(x), carry
