"""GoogLeNet: Szegedy et al. 2014, "Going deeper with convolutions", table 1 and figures 2b and 3."""

from functools import partial

import jax
from flax import linen as nn

from canon.errors import UserError
from canon.layers.activations import Activation
from canon.layers.convolution import Conv
from canon.layers.initializers import he_normal
from canon.layers.normalization import BatchNorm, LocalResponseNorm
from canon.layers.pooling import AdaptiveAvgPool, AvgPool, GlobalAvgPool, MaxPool
from canon.layers.precision import at_least_float32
from canon.models.image_classifier import ImageClassifier, flatten

FORMS = ("paper", "torchvision")

# Table 1: 1×1; 3×3 reduce, 3×3; 5×5 reduce, 5×5; pool projection.
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class ConvUnit(nn.Module):
    """A convolution and a rectifier, with batch normalisation between them in torchvision's form."""

    features: int
    kernel_size: tuple[int, int]
    form: str
    strides: int = 1
    padding: int = 0
    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        paper = self.form == "paper"
        x = Conv(
            self.features, self.kernel_size, self.strides, self.padding,
            use_bias=paper, kernel_init=he_normal, dtype=self.dtype, name="conv",
        )(x)  # fmt: skip
        if not paper:
            x = BatchNorm(epsilon=1e-3, name="norm")(x, use_running_average=not train)
        return Activation(name="relu")(x)


class Inception(nn.Module):
    """Four branches whose features are joined: 1×1, 3×3, 5×5, and a max pool (figure 2b).

    `[batch, height, width, channels] -> [batch, height, width, sum of the branches' features]`.

    Attributes:
      widths: a row of `INCEPTIONS`.
      form: `torchvision` has a 3×3 where the paper has the 5×5.
      dtype: of the computation.
    """

    widths: tuple[int, ...]
    form: str = "paper"
    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        unit = partial(ConvUnit, form=self.form, dtype=self.dtype)
        one, three_reduce, three, five_reduce, five, projection = self.widths
        large, padding = ((5, 5), 2) if self.form == "paper" else ((3, 3), 1)

        branch1 = unit(one, (1, 1), name="branch1")(x, train)
        branch2 = unit(three_reduce, (1, 1), name="branch2_reduce")(x, train)
        branch2 = unit(three, (3, 3), padding=1, name="branch2")(branch2, train)
        branch3 = unit(five_reduce, (1, 1), name="branch3_reduce")(x, train)
        branch3 = unit(five, large, padding=padding, name="branch3")(branch3, train)
        branch4 = MaxPool(3, 1, padding=1, name="pool")(x)
        branch4 = unit(projection, (1, 1), name="branch4")(branch4, train)
        return jax.numpy.concatenate([branch1, branch2, branch3, branch4], axis=-1)


class GoogLeNet(ImageClassifier):
    """Three convolutions, nine inception modules, global average pooling, a classifier: 22 layers with weights.

    `[batch, height, width, channels] -> [batch, num_classes]`: the result is logits.

    In training, the logits of the two auxiliary classifiers are sown into the collection `auxiliary_logits`; the paper
    adds their losses with weight 0.3 (section 5), and so does `canon.training.task.Classification`. Prediction does
    not compute them.

    Attributes:
      auxiliary: have the auxiliary classifiers, on inception 4a and 4d. The paper's need images of 79×79 pixels.
      auxiliary_dropout_rate: of theirs (section 5).
      form: `paper`, or `torchvision`, which has batch normalisation in place of biases and response normalisation,
        a 3×3 in place of each 5×5 convolution, a last max pool of 2×2, and auxiliary classifiers that pool to 4×4
        whatever the size.
      remat: compute the inside of each inception module once more in the backward pass, in place of keeping it.
      num_classes, dtype: see `ImageClassifier`.
      dropout_rate: of the units before the classifier (section 5).

    The paper does not give the constants of its response normalisation: they are AlexNet's here, with Caffe's k = 1.

    Raises:
      UserError: the form is none of these.
    """

    dropout_rate: float = 0.4
    auxiliary: bool = True
    auxiliary_dropout_rate: float = 0.7
    form: str = "paper"
    remat: bool = False

    def __post_init__(self):
        if self.form not in FORMS:
            raise UserError(f"googlenet: form must be one of {', '.join(FORMS)}, not {self.form!r}")
        if not 0 <= self.auxiliary_dropout_rate < 1:
            raise UserError(
                f"googlenet: auxiliary_dropout_rate must be at least 0 and below 1, not {self.auxiliary_dropout_rate}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        unit = partial(ConvUnit, form=self.form, dtype=self.dtype)
        inception = nn.remat(Inception, static_argnums=(2,)) if self.remat else Inception
        pool = partial(MaxPool, 3, 2, ceil_mode=True)  # sizes are rounded up, as table 1 has them
        x = unit(64, (7, 7), strides=2, padding=3, name="conv1")(x, train)
        x = pool(name="pool1")(x)
        x = self._response_norm(x, 1)
        x = unit(64, (1, 1), name="conv2_reduce")(x, train)
        x = unit(192, (3, 3), padding=1, name="conv2")(x, train)
        x = self._response_norm(x, 2)
        x = pool(name="pool2")(x)
        for name, widths in INCEPTIONS.items():
            x = inception(widths, self.form, self.dtype, name=f"inception{name}")(x, train)
            if name == "3b":
                x = pool(name="pool3")(x)
            elif name == "4e":
                x = pool(name="pool4")(x) if self.form == "paper" else MaxPool(2, ceil_mode=True, name="pool4")(x)
            elif name in ("4a", "4d"):
                self._auxiliary(x, train, 1 if name == "4a" else 2)
        x = GlobalAvgPool(name="pool5")(x)
        return self._classify(self._dropout(x, train, name="dropout"))

    def _response_norm(self, x: jax.Array, i: int) -> jax.Array:
        return LocalResponseNorm(k=1.0, name=f"norm{i}")(x) if self.form == "paper" else x

    def _auxiliary(self, x: jax.Array, train: bool, i: int) -> None:
        if not self.auxiliary or not (train or self.is_initializing()):
            return
        head = AuxiliaryClassifier(
            self.num_classes, self.auxiliary_dropout_rate, self.form, self.dtype, name=f"auxiliary{i}"
        )
        try:
            logits = head(x, train)
        except UserError as error:
            raise UserError(f"{error}, or --auxiliary=false") from error
        if not self.is_initializing():
            self.sow("auxiliary_logits", f"logits{i}", logits, reduce_fn=lambda _, new: new, init_fn=lambda: None)


class AuxiliaryClassifier(nn.Module):
    """A classifier in the middle of the network, to bring the gradient there: section 5.

    `[batch, height, width, channels] -> [batch, num_classes]`.
    """

    num_classes: int
    dropout_rate: float
    form: str
    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = (AvgPool(5, 3, name="pool") if self.form == "paper" else AdaptiveAvgPool((4, 4), name="pool"))(x)
        x = ConvUnit(128, (1, 1), self.form, dtype=self.dtype, name="conv")(x, train)
        x = nn.Dense(1024, kernel_init=he_normal, dtype=self.dtype, name="fc1")(flatten(x))
        x = Activation(name="relu")(x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train, name="dropout")(x)
        dtype = at_least_float32(self.dtype)
        return nn.Dense(self.num_classes, kernel_init=he_normal, dtype=dtype, name="fc2")(x)
