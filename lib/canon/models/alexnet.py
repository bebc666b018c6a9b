"""AlexNet: Krizhevsky, Sutskever and Hinton 2012, and its one-column form of 2014."""

from functools import partial

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.activations import Activation
from canon.layers.convolution import Conv
from canon.layers.normalization import LocalResponseNorm
from canon.layers.pooling import MaxPool
from canon.models.image_classifier import ImageClassifier, flatten

gaussian = nn.initializers.normal(0.01)  # section 5
zeros, ones = nn.initializers.zeros, nn.initializers.ones


class AlexNet(ImageClassifier):
    """Five convolutions and three dense layers, with overlapping pools.

    `[batch, height, width, channels] -> [batch, num_classes]`: the result is logits.

    The paper says that images have 224×224 pixels; its 55×55 positions of an 11×11 filter with stride 4 take 227×227.

    Attributes:
      features: of the five convolutions.
      columns: 2 as in the paper, where each of two GPUs held half of the features, and the second, fourth and fifth
        convolution see those of their own half only; 1 joins the halves.
      response_norm: normalise over neighbouring channels after the first two convolutions; over all of them, as in
        section 3.3, whatever the column.
      first_padding: zeros around the image.
      num_classes, dtype: see `ImageClassifier`.
      dropout_rate: of the units after the first two dense layers.

    Raises:
      UserError: `columns` is neither 1 nor 2.
    """

    dropout_rate: float = 0.5
    features: tuple[int, ...] = (96, 256, 384, 384, 256)
    columns: int = 2
    response_norm: bool = True
    first_padding: int = 0

    def __post_init__(self):
        if self.columns not in (1, 2):
            raise UserError(f"alexnet: columns must be 1 or 2, not {self.columns}")
        super().__post_init__()

    @property
    def native_shape(self) -> tuple[int, int, int]:
        return (224, 224, 3) if self.first_padding else (227, 227, 3)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = partial(Conv, kernel_init=gaussian, dtype=self.dtype)
        # Biases of 1 where they give the rectifiers something to pass on from the start: section 5.
        split = partial(conv, bias_init=ones, feature_group_count=self.columns)

        first, second, third, fourth, fifth = self.features
        x = conv(first, (11, 11), strides=4, padding=self.first_padding, name="conv1")(x)
        x = self._reduce(Activation(name="relu1")(x), 1)
        x = split(second, (5, 5), padding=2, name="conv2")(x)
        x = self._reduce(Activation(name="relu2")(x), 2)
        x = conv(third, (3, 3), padding=1, name="conv3")(x)
        x = Activation(name="relu3")(x)
        x = split(fourth, (3, 3), padding=1, name="conv4")(x)
        x = Activation(name="relu4")(x)
        x = split(fifth, (3, 3), padding=1, name="conv5")(x)
        x = MaxPool(3, 2, name="pool5")(Activation(name="relu5")(x))
        x = flatten(x)
        for i in (6, 7):
            x = nn.Dense(4096, kernel_init=gaussian, bias_init=ones, dtype=self.dtype, name=f"fc{i}")(x)
            x = self._dropout(Activation(name=f"relu{i}")(x), train, name=f"dropout{i}")
        return self._classify(x, gaussian, name="fc8")

    def _reduce(self, x: jax.Array, i: int) -> jax.Array:
        if self.response_norm:
            x = LocalResponseNorm(name=f"norm{i}")(x)
        return MaxPool(3, 2, name=f"pool{i}")(x)


_paper = (96, 256, 384, 384, 256)
alexnet = partial(AlexNet, features=_paper, response_norm=True, first_padding=0)
"""Two columns, 60,965,224 parameters; with `columns=1`, 62,378,344."""

alexnet_one_column = partial(
    AlexNet, features=(64, 192, 384, 256, 256), columns=1, response_norm=False, first_padding=2
)
"""The form that is trained on several GPUs by other means: Krizhevsky 2014, "One weird trick for parallelizing
convolutional neural networks", section 5, as torchvision has it: without response normalisation, and with a softmax.
61,100,840 parameters."""
