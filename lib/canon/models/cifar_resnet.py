"""The residual and plain networks for CIFAR-10: He et al. 2015, section 4.2 and table 6."""

from functools import partial

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.activations import Activation
from canon.layers.normalization import BatchNorm
from canon.layers.pooling import GlobalAvgPool
from canon.layers.residual import BasicBlock, check_shortcut, conv
from canon.models.image_classifier import ImageClassifier

DEEPEST = 2000
"""The paper's deepest has 1,202 layers; tracing takes minutes from there on."""


class CifarResNet(ImageClassifier):
    """A 3×3 convolution, three stages of n blocks with 16, 32 and 64 features, global average pooling, a linear layer.

    `[batch, height, width, channels] -> [batch, num_classes]`: the result is logits. The second and third stages begin
    with stride 2. Weighted layers: 1 + 3 stages × n blocks × 2 convolutions + 1 = 6n + 2.

    Attributes:
      depth: number of weighted layers, 6n + 2: 20, 32, 44, 56 and 110 in the paper.
      shortcut: `A` (the paper's choice on CIFAR-10), `B`, `C`, or `none` for the plain network.
      remat: compute the inside of each block once more in the backward pass, in place of keeping it.
      num_classes, dropout_rate, dtype: see `ImageClassifier`.
    """

    num_classes: int = 10
    depth: int = 20
    shortcut: str = "A"
    remat: bool = False

    def __post_init__(self):
        if self.depth < 8 or (self.depth - 2) % 6:
            below = max(8, (self.depth - 2) // 6 * 6 + 2)
            raise UserError(
                f"cifar_resnet: depth must be 6n+2 with n at least 1 (8, 14, 20, 32, 44, 56, 110, ...), "
                f"not {self.depth}; the nearest are {below} and {below + 6}"
            )
        if self.depth > DEEPEST:
            raise UserError(f"cifar_resnet: depth must be at most {DEEPEST}, not {self.depth}")
        check_shortcut(self.shortcut)
        super().__post_init__()

    @property
    def native_shape(self) -> tuple[int, int, int]:
        return (32, 32, 3)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = conv(16, (3, 3), padding=1, dtype=self.dtype, name="conv")(x)
        x = BatchNorm(name="norm")(x, use_running_average=not train)
        x = Activation(name="relu")(x)
        kind = nn.remat(BasicBlock, static_argnums=(2,)) if self.remat else BasicBlock
        block = partial(kind, shortcut=self.shortcut, dtype=self.dtype)
        for stage, features in enumerate((16, 32, 64), start=1):
            for i in range(1, (self.depth - 2) // 6 + 1):
                stride = 2 if stage > 1 and i == 1 else 1
                x = block(features, stride, name=f"stage{stage}_block{i}")(x, train)
        x = GlobalAvgPool(name="pool")(x)
        return self._classify(self._dropout(x, train, name="dropout"))
