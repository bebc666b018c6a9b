"""Residual networks for ImageNet, their plain counterparts, and the residual net with squeeze and excitation.

He, Zhang, Ren and Sun 2015, "Deep residual learning for image recognition", table 1 and section 4.1; Hu, Shen and Sun
2017, "Squeeze-and-excitation networks", table 1.
"""

from functools import partial

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.activations import Activation
from canon.layers.normalization import BatchNorm
from canon.layers.pooling import GlobalAvgPool, MaxPool
from canon.layers.residual import BasicBlock, BottleneckBlock, check_bottleneck_stride, check_shortcut, conv
from canon.models.image_classifier import ImageClassifier


class ResNet(ImageClassifier):
    """A 7×7 convolution, a max pool, four stages of blocks, global average pooling, a linear layer.

    `[batch, height, width, channels] -> [batch, num_classes]`: the result is logits. Convolution and pool have stride
    2. The stages have 64, 128, 256 and 512 features, four times as many where the blocks are bottlenecks; all but the
    first begin with stride 2.

    Attributes:
      stage_sizes: blocks of each stage.
      bottleneck: whether the blocks are `BottleneckBlock`s or `BasicBlock`s.
      reduction: above 0, of the squeeze-and-excitation gate in each block.
      shortcut: `A`, `B` (the networks that the paper enters in competitions), `C`, or `none` for the plain network.
      bottleneck_stride: which convolution of a bottleneck has the stride: see `BottleneckBlock`. PyTorch's and timm's
        weights want `3x3`.
      remat: compute the inside of each block once more in the backward pass, in place of keeping it.
      num_classes, dropout_rate, dtype: see `ImageClassifier`.
    """

    stage_sizes: tuple[int, ...] = (2, 2, 2, 2)
    bottleneck: bool = False
    reduction: int = 0
    shortcut: str = "B"
    bottleneck_stride: str = "1x1"
    remat: bool = False

    def __post_init__(self):
        check_shortcut(self.shortcut)
        check_bottleneck_stride(self.bottleneck_stride)
        if not self.stage_sizes or min(self.stage_sizes) < 1:
            raise UserError(f"resnet: every stage needs at least one block, not stage_sizes={tuple(self.stage_sizes)}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = conv(64, (7, 7), strides=(2, 2), padding=3, dtype=self.dtype, name="conv")(x)
        x = BatchNorm(name="norm")(x, use_running_average=not train)
        x = Activation(name="relu")(x)
        x = MaxPool(3, 2, padding=1, name="pool1")(x)
        block = self._block()
        for stage, size in enumerate(self.stage_sizes, start=1):
            for i in range(1, size + 1):
                stride = 2 if stage > 1 and i == 1 else 1
                x = block(64 * 2 ** (stage - 1), stride, name=f"stage{stage}_block{i}")(x, train)
        x = GlobalAvgPool(name="pool2")(x)
        return self._classify(self._dropout(x, train, name="dropout"))

    def _block(self):
        kind = BottleneckBlock if self.bottleneck else BasicBlock
        if self.remat:
            kind = nn.remat(kind, static_argnums=(2,))
        block = partial(kind, shortcut=self.shortcut, reduction=self.reduction, dtype=self.dtype)
        return partial(block, stride_in=self.bottleneck_stride) if self.bottleneck else block


resnet18 = partial(ResNet, stage_sizes=(2, 2, 2, 2), bottleneck=False, reduction=0, bottleneck_stride="1x1")
resnet34 = partial(ResNet, stage_sizes=(3, 4, 6, 3), bottleneck=False, reduction=0, bottleneck_stride="1x1")
resnet50 = partial(ResNet, stage_sizes=(3, 4, 6, 3), bottleneck=True, reduction=0)
resnet101 = partial(ResNet, stage_sizes=(3, 4, 23, 3), bottleneck=True, reduction=0)
resnet152 = partial(ResNet, stage_sizes=(3, 8, 36, 3), bottleneck=True, reduction=0)
plain18 = partial(resnet18, shortcut="none")
plain34 = partial(resnet34, shortcut="none")
se_resnet50 = partial(ResNet, stage_sizes=(3, 4, 6, 3), bottleneck=True, reduction=16)
