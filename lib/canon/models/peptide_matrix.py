"""A matrix of scores, of each amino acid at each place: how binding was predicted before there were networks for it.

Peters and Sette 2005, "Generating quantitative models describing the sequence specificity of biological processes with
the stabilized matrix method".
"""

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.precision import at_least_float32
from canon.models.image_classifier import check_common
from canon.models.peptide_classifier import NUM_AMINO_ACIDS, by_place


class PeptideMatrix(nn.Module):
    """Amino acids `[batch, time]` int32, 0 to 19, and lengths `[batch]` to `[batch, num_classes]`: a sum of scores.

    Peptides of each length have a matrix and a bias of their own, so that every place has its meaning: the last one is
    an anchor, whichever it is.

    Attributes:
      num_classes: outputs.
      positions: places that there are, at least as many as the longest peptide has amino acids.
      dropout_rate: share of the scores that training sets to zero.
      dtype: of the computation; the outputs have float32 at the least.
    """

    num_classes: int = 1
    positions: int = 15
    dropout_rate: float = 0.0
    dtype: str = "float32"

    def __post_init__(self):
        self.dtype = check_common("PeptideMatrix", self.num_classes, self.dropout_rate, self.dtype)
        if self.positions < 1:
            raise UserError(f"PeptideMatrix: positions must be at least 1, not {self.positions}")
        super().__post_init__()

    @nn.compact
    def __call__(self, peptides: jax.Array, lengths: jax.Array | None = None, train: bool = False) -> jax.Array:
        pairs, time = by_place(peptides, self.positions), peptides.shape[1]
        if lengths is None:
            lengths = jnp.full(len(peptides), time, peptides.dtype)
        of_length = (lengths - 1)[:, None].astype(peptides.dtype)
        dtype, one = at_least_float32(self.dtype), NUM_AMINO_ACIDS * self.positions
        table = nn.Embed(one * self.positions, self.num_classes, dtype=dtype, name="scores")
        scores = table(pairs + one * of_length)
        scores = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(scores)
        scores = jnp.where((jnp.arange(time) < lengths[:, None])[..., None], scores, jnp.zeros((), dtype))
        bias = self.param("bias", nn.initializers.zeros, (self.positions, self.num_classes), jnp.float32)
        return scores.sum(axis=1) + bias[of_length[:, 0]].astype(dtype)
