"""A recurrent network that reads a peptide, a short sequence of amino acids, and says how well a protein binds it.

Bhattacharya et al. 2017, "Prediction of peptide binding to MHC class I proteins in the age of deep learning", compare
recurrent networks with others.
"""

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.precision import at_least_float32
from canon.models.recurrent_model import RecurrentModel
from canon.models.sequence_classifier import summarize

NUM_AMINO_ACIDS = 20


class PeptideClassifier(RecurrentModel):
    """Amino acids `[batch, time]` int32, 0 to 19, and lengths `[batch]` to logits `[batch, num_classes]`.

    What binds is a matter of which amino acid stands where: an anchor is one residue at one place. `per_position` gives
    each pair of amino acid and place a vector of its own; without it an amino acid has the same one everywhere, and the
    recurrent layer has to count.

    Attributes:
      bidirectional: read each peptide in both directions.
      per_position: see above.
      positions: places that there are, at least as many as the longest peptide has amino acids.
      embedding: features of a vector.
      the rest: see `RecurrentModel`; dropout is between layers and before the logits.
    """

    num_classes: int = 1
    features: int = 64
    bidirectional: bool = True
    per_position: bool = True
    positions: int = 15
    embedding: int = 32

    def __post_init__(self):
        if min(self.positions, self.embedding) < 1:
            raise UserError(
                "PeptideClassifier: positions and embedding must be at least 1, not "
                f"{self.positions} and {self.embedding}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, peptides: jax.Array, lengths: jax.Array | None = None, train: bool = False) -> jax.Array:
        pairs = by_place(peptides, self.positions)
        rows = NUM_AMINO_ACIDS * (self.positions if self.per_position else 1)
        table = nn.Embed(rows, self.embedding, dtype=self.dtype, name="embedding")
        x = table(pairs if self.per_position else peptides)
        x, _ = self._stack(bidirectional=self.bidirectional, name="recurrence")(x, lengths=lengths, train=train)
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(
            summarize(x, lengths, self.bidirectional)
        )
        return nn.Dense(self.num_classes, dtype=at_least_float32(self.dtype), name="logits")(x)


def by_place(peptides: jax.Array, positions: int) -> jax.Array:
    """The number of each pair of place and amino acid, `[batch, time]`: below 20 · positions.

    Raises `UserError` where peptides have more places than that.
    """
    time = peptides.shape[1]
    if time > positions:
        raise UserError(f"peptides of {time} amino acids need --config.model.positions={time}, not {positions}")
    return peptides + NUM_AMINO_ACIDS * jnp.arange(time, dtype=peptides.dtype)
