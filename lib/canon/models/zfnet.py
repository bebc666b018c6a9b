"""ZFNet: Zeiler and Fergus 2013, "Visualizing and understanding convolutional networks", figure 3."""

from functools import partial

import jax
from flax import linen as nn

from canon.layers.activations import Activation
from canon.layers.convolution import Conv
from canon.layers.normalization import LocalResponseNorm
from canon.layers.pooling import MaxPool
from canon.models.image_classifier import ImageClassifier, flatten

gaussian = nn.initializers.normal(0.01)  # section 3.1; biases are 0


class ZFNet(ImageClassifier):
    """AlexNet with a finer first layer, 7×7 with stride 2, and without columns.

    `[batch, height, width, channels] -> [batch, num_classes]`: the result is logits. Padding is what the sizes in
    figure 3 leave room for: 224 → 110 → 55 → 26 → 13 → 6. The paper does not give the constants of its contrast
    normalisation across feature maps: they are AlexNet's.

    Attributes:
      num_classes, dtype: see `ImageClassifier`.
      dropout_rate: of the units after the first two dense layers.
    """

    dropout_rate: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = partial(Conv, kernel_init=gaussian, dtype=self.dtype)
        x = conv(96, (7, 7), strides=2, padding=1, name="conv1")(x)
        x = MaxPool(3, 2, padding=1, name="pool1")(Activation(name="relu1")(x))
        x = LocalResponseNorm(name="norm1")(x)
        x = conv(256, (5, 5), strides=2, padding=0, name="conv2")(x)
        x = MaxPool(3, 2, padding=1, name="pool2")(Activation(name="relu2")(x))
        x = LocalResponseNorm(name="norm2")(x)
        for i, features in ((3, 384), (4, 384), (5, 256)):
            x = Activation(name=f"relu{i}")(conv(features, (3, 3), padding=1, name=f"conv{i}")(x))
        x = flatten(MaxPool(3, 2, name="pool5")(x))
        for i in (6, 7):
            x = nn.Dense(4096, kernel_init=gaussian, dtype=self.dtype, name=f"fc{i}")(x)
            x = self._dropout(Activation(name=f"relu{i}")(x), train, name=f"dropout{i}")
        return self._classify(x, gaussian, name="fc8")
