"""What every network of sequences can be given."""

from flax import linen as nn

from canon.models.image_classifier import check_common


class SequenceModel(nn.Module):
    """A network that reads sequences.

    Attributes:
      num_classes: size of the output.
      dropout_rate: share of units that training sets to zero; the network says where.
      dtype: of the computation. Parameters and logits are float32 under `bfloat16` too.
    """

    num_classes: int = 100
    dropout_rate: float = 0.0
    dtype: str = "float32"

    def __post_init__(self):
        self.dtype = check_common(type(self).__name__, self.num_classes, self.dropout_rate, self.dtype)
        super().__post_init__()
