"""Very deep convolutional networks: Simonyan and Zisserman 2014, table 1, configurations A, B, D and E."""

from functools import partial

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.activations import Activation
from canon.layers.convolution import Conv
from canon.layers.initializers import he_normal
from canon.layers.normalization import BatchNorm
from canon.layers.pooling import MaxPool
from canon.models.image_classifier import ImageClassifier, flatten


class VGG(ImageClassifier):
    """Five stages of 3×3 convolutions, 64 to 512 features, each with a max pool, and three dense layers.

    `[batch, height, width, channels] -> [batch, num_classes]`: the result is logits. Weights begin as He et al. 2015
    derived them for rectifiers: with the paper's own N(0, 0.01) the deep configurations learn only from the weights of
    a shallow one.

    Attributes:
      stage_sizes: convolutions of each stage.
      batch_norm: normalise after each convolution: the form of later years, not of the paper.
      remat: compute the inside of each stage once more in the backward pass, in place of keeping it.
      num_classes, dtype: see `ImageClassifier`.
      dropout_rate: of the units before the second and third dense layers.
    """

    dropout_rate: float = 0.5
    stage_sizes: tuple[int, ...] = (2, 2, 3, 3, 3)
    batch_norm: bool = False
    remat: bool = False

    def __post_init__(self):
        if not self.stage_sizes or min(self.stage_sizes) < 1:
            raise UserError(f"vgg: every stage needs a convolution, not stage_sizes={tuple(self.stage_sizes)}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        stage = nn.remat(VGG._stage, static_argnums=(2, 3)) if self.remat else VGG._stage
        for i in range(1, len(self.stage_sizes) + 1):
            x = stage(self, x, i, train)
            x = MaxPool(2, name=f"pool{i}")(x)
        x = flatten(x)
        for i in (6, 7):
            x = nn.Dense(4096, kernel_init=he_normal, dtype=self.dtype, name=f"fc{i}")(x)
            x = Activation(name=f"relu{i}")(x)
            x = self._dropout(x, train, name=f"dropout{i}")
        return self._classify(x, name="fc8")

    def _stage(self, x: jax.Array, stage: int, train: bool) -> jax.Array:
        for i in range(1, self.stage_sizes[stage - 1] + 1):
            features = min(64 * 2 ** (stage - 1), 512)
            conv = Conv(features, (3, 3), padding=1, kernel_init=he_normal, dtype=self.dtype, name=f"conv{stage}_{i}")
            x = conv(x)
            if self.batch_norm:
                x = BatchNorm(name=f"norm{stage}_{i}")(x, use_running_average=not train)
            x = Activation(name=f"relu{stage}_{i}")(x)
        return x


vgg11 = partial(VGG, stage_sizes=(1, 1, 2, 2, 2))
vgg13 = partial(VGG, stage_sizes=(2, 2, 2, 2, 2))
vgg16 = partial(VGG, stage_sizes=(2, 2, 3, 3, 3))
vgg19 = partial(VGG, stage_sizes=(2, 2, 4, 4, 4))
