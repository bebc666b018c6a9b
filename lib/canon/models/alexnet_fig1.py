"""The four-layer network for CIFAR-10 on which figure 1 of Krizhevsky et al. 2012 compares rectifiers with tanh.

The paper gives its depth alone. These are the four layers of its first author's own example for this data set at that
time (cuda-convnet, `layers-19pct.cfg`); which of his networks the figure used is not said anywhere. There the last
window of a pool reaches beyond the far end of the map; here a pixel of padding stands on each side, and weights begin
as later papers derived them.
"""

from functools import partial

import jax
from flax import linen as nn

from canon.layers.activations import Activation, activation
from canon.layers.convolution import Conv
from canon.layers.initializers import he_normal, lecun_normal
from canon.layers.pooling import AvgPool, MaxPool
from canon.models.image_classifier import ImageClassifier, flatten


class AlexNetFig1(ImageClassifier):
    """Three 5×5 convolutions with 32, 32 and 64 features, each with an overlapping pool, and a linear layer.

    `[batch, height, width, channels] -> [batch, num_classes]`: the result is logits. 89,578 parameters on 32×32 colour
    images.

    Attributes:
      activation: `relu`, `tanh`, or another of `canon.layers.activations`.
      num_classes, dropout_rate, dtype: see `ImageClassifier`; the paper's has no regularisation.
    """

    num_classes: int = 10
    activation: str = "relu"

    def __post_init__(self):
        activation(self.activation)
        super().__post_init__()

    @property
    def native_shape(self) -> tuple[int, int, int]:
        return (32, 32, 3)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        init = he_normal if self.activation == "relu" else lecun_normal
        conv = partial(Conv, kernel_size=(5, 5), padding=2, kernel_init=init, dtype=self.dtype)
        layer = partial(Activation, activation(self.activation))

        x = MaxPool(3, 2, padding=1, name="pool1")(conv(32, name="conv1")(x))
        x = layer(name="activation1")(x)
        x = layer(name="activation2")(conv(32, name="conv2")(x))
        x = AvgPool(3, 2, padding=1, name="pool2")(x)
        x = layer(name="activation3")(conv(64, name="conv3")(x))
        x = flatten(AvgPool(3, 2, padding=1, name="pool3")(x))
        return self._classify(self._dropout(x, train, name="dropout"))
