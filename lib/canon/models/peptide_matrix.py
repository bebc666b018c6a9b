"""A matrix of scores, of each amino acid at each place: how binding was predicted before there were networks for it.

Peters and Sette 2005, "Generating quantitative models describing the sequence specificity of biological processes with
the stabilized matrix method".
"""

import functools

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.precision import at_least_float32
from canon.models.image_classifier import check_common
from canon.models.peptide_classifier import NUM_AMINO_ACIDS, by_place


class PeptideMatrix(nn.Module):
    """Amino acids `[batch, time]` int32, 0 to 19, and lengths `[batch]` to `[batch, num_classes]`: a sum of scores.

    The published matrices are each for peptides of one length. Here places are counted from both ends, so that one
    serves for all: the last place is an anchor, whichever it is, and has scores of its own.

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
        time = peptides.shape[1]
        if lengths is None:
            lengths = jnp.full(len(peptides), time, peptides.dtype)
        pairs = by_place(peptides, self.positions)
        left = jnp.maximum(lengths[:, None] - 1 - jnp.arange(time, dtype=lengths.dtype), 0).astype(peptides.dtype)
        dtype = at_least_float32(self.dtype)
        # From zero, so that what training never sees counts nothing.
        zeros = nn.initializers.zeros
        rows = NUM_AMINO_ACIDS * self.positions
        table = functools.partial(nn.Embed, rows, self.num_classes, dtype=dtype, embedding_init=zeros)
        scores = table(name="from_first")(pairs) + table(name="from_last")(peptides + NUM_AMINO_ACIDS * left)
        scores = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(scores)
        scores = jnp.where((jnp.arange(time) < lengths[:, None])[..., None], scores, jnp.zeros((), dtype))
        bias = self.param("bias", nn.initializers.zeros, (self.num_classes,), jnp.float32)
        return scores.sum(axis=1) + bias.astype(dtype)
