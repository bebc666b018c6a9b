"""What every recurrent network can be given."""

from flax import linen as nn

from canon.layers.recurrence import DeepRecurrence
from canon.models.image_classifier import check_common


class RecurrentModel(nn.Module):
    """A network around a stack of recurrent layers.

    Attributes:
      num_classes: size of the output.
      cell: one of `canon.layers.cells.CELLS`.
      features: units of each layer, in each direction.
      layers: how many.
      dropout_rate: share of units that training sets to zero; the network says where.
      unroll, forget_bias: see `canon.layers.recurrence.Recurrence`.
      dtype: of the computation. Parameters and logits are float32 under `bfloat16` too.
    """

    num_classes: int = 100
    cell: str = "lstm"
    features: int = 128
    layers: int = 1
    dropout_rate: float = 0.0
    unroll: int = 1
    forget_bias: float = 1.0
    dtype: str = "float32"

    def __post_init__(self):
        self.dtype = check_common(type(self).__name__, self.num_classes, self.dropout_rate, self.dtype)
        self._stack(parent=None)  # its arguments are checked here, before anything is traced
        super().__post_init__()

    def _stack(self, **kwargs) -> DeepRecurrence:
        return DeepRecurrence(
            self.features,
            layers=self.layers,
            cell=self.cell,
            dropout_rate=self.dropout_rate,
            unroll=self.unroll,
            forget_bias=self.forget_bias,
            dtype=self.dtype,
            **kwargs,
        )
