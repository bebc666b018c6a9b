"""One to many: a network that sees an image and writes a sequence about it.

Vinyals, Toshev, Bengio and Erhan 2015, "Show and tell: a neural image caption generator".
"""

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.precision import at_least_float32
from canon.layers.recurrence import StackCarry
from canon.models.image_classifier import flatten
from canon.models.recurrent_model import RecurrentModel

SEEN = ("first", "every", "never")

Memory = tuple[jax.Array, StackCarry]
"""What the image was made into, `[batch, embedding]`, and what the recurrent network carries."""


class ImageToSequence(RecurrentModel):
    """Images `[batch, height, width, channels]` and the sequence so far to logits of its next tokens.

    An image passes through a hidden layer of rectifiers into a vector of the size of a token's.

    Attributes:
      num_classes: tokens that there are.
      embedding: features of an image, and of a token.
      hidden: units between the pixels and those.
      seen: when the recurrent network sees the image: before the `first` token, as if it were one; with `every` token,
        added to it; or `never`, which leaves it to guess.
      the rest: see `RecurrentModel`; dropout is between layers and before the logits.
    """

    embedding: int = 64
    hidden: int = 128
    seen: str = "first"

    def __post_init__(self):
        if self.seen not in SEEN:
            raise UserError(f"ImageToSequence: seen must be one of {', '.join(SEEN)}, not {self.seen!r}")
        if min(self.embedding, self.hidden) < 1:
            raise UserError(
                f"ImageToSequence: embedding and hidden must be at least 1, not {self.embedding} and {self.hidden}"
            )
        super().__post_init__()

    def setup(self):
        self.image_hidden = nn.Dense(self.hidden, kernel_init=nn.initializers.he_normal(), dtype=self.dtype)
        self.image_embedding = nn.Dense(self.embedding, dtype=self.dtype)
        self.token_embedding = nn.Embed(self.num_classes, self.embedding, dtype=self.dtype)
        self.decoder = self._stack()
        self.dropout = nn.Dropout(self.dropout_rate)
        self.logits = nn.Dense(self.num_classes, dtype=at_least_float32(self.dtype))

    def encode(self, images: jax.Array, train: bool = False) -> Memory:
        """What the sequence begins with."""
        seen = self.image_embedding(nn.relu(self.image_hidden(flatten(images))))
        if self.seen == "never":
            seen = jnp.zeros_like(seen)
        first = seen if self.seen == "first" else jnp.zeros_like(seen)
        _, carry = self.decoder(first[:, None], train=train)
        return (seen if self.seen == "every" else jnp.zeros_like(seen)), carry

    def decode(self, tokens: jax.Array, memory: Memory, train: bool = False) -> tuple[jax.Array, Memory]:
        """`[batch, time]` tokens to logits `[batch, time, num_classes]` of those after each, and the memory."""
        seen, carry = memory
        outputs, carry = self.decoder(self.token_embedding(tokens) + seen[:, None], carry, train=train)
        return self.logits(self.dropout(outputs, deterministic=not train)), (seen, carry)

    def __call__(self, images: jax.Array, tokens: jax.Array, train: bool = False) -> jax.Array:
        """Teacher forcing: logits after each of the sequence's own `tokens` `[batch, time]`, which <bos> begins."""
        return self.decode(tokens, self.encode(images, train), train)[0]
