"""What both sides compute: the sizes of networks and batches, and how they are trained. Data, without a library."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Images:
    """A training step of an image classifier: forward, backward, SGD with momentum and weight decay.

    Attributes:
      batch: images of a step.
      shape: (height, width, channels) of an image.
      classes: how many there are.
    """

    batch: int
    shape: tuple[int, int, int]
    classes: int


IMAGES = {
    "mlp": Images(128, (28, 28, 1), 10),
    "lenet5": Images(128, (28, 28, 1), 10),
    "alexnet_fig1": Images(128, (32, 32, 3), 10),
    "resnet20": Images(128, (32, 32, 3), 10),
    "resnet50": Images(8, (224, 224, 3), 1000),
}
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-4
MLP_HIDDEN = (800, 800)

TEXTS = {"lstm_128": 128, "lstm_512": 512}
"""A training step of two LSTM layers with so many units over characters: the gradient clipped, Adam."""
SYMBOLS, ROWS, CHUNK, LAYERS = 65, 50, 50, 2
TEXT_RATE, CLIP = 2e-3, 5.0

SAMPLED_UNITS, SAMPLED_LENGTH = 512, 1000


@dataclass(frozen=True)
class Pairs:
    """A training step of sequence to sequence: two LSTM stacks, sentences of full length, clipped, Adam."""

    batch: int = 64
    source_words: int = 8000
    target_words: int = 6000
    source_length: int = 15
    target_length: int = 15
    units: int = 256
    layers: int = 2


PAIRS = Pairs()

STEPS = (*IMAGES, *TEXTS, "seq2seq")
ALL = (*STEPS, "sample_1000", "startup_cold", "startup_warm", "study")
