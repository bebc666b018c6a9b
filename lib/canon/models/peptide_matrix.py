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
from canon.models.peptide_classifier import AMINO_ACIDS


class PeptideMatrix(nn.Module):
    """Amino acids `[batch, time]` int32, 0 to 19, and lengths `[batch]` to `[batch, num_classes]`: a sum of scores.

    Attributes:
      num_classes: outputs.
      positions: places that there are, counted from the first.
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
        if time > self.positions:
            raise UserError(f"peptides of {time} amino acids do not fit positions={self.positions} of the model")
        dtype = at_least_float32(self.dtype)
        table = nn.Embed(AMINO_ACIDS * self.positions, self.num_classes, dtype=dtype, name="scores")
        scores = table(peptides + AMINO_ACIDS * jnp.arange(time, dtype=peptides.dtype))
        scores = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(scores)
        if lengths is not None:
            scores = jnp.where((jnp.arange(time) < lengths[:, None])[..., None], scores, jnp.zeros((), dtype))
        return scores.sum(axis=1) + self.param("bias", nn.initializers.zeros, (self.num_classes,)).astype(dtype)
