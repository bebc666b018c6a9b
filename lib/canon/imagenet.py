"""ImageNet's classes and colours: Russakovsky et al. 2015, "ImageNet large scale visual recognition challenge"."""

from importlib import resources

MEAN = (0.485, 0.456, 0.406)
"""Of each colour of the training images, from 0 to 1, as torchvision publishes it with its checkpoints."""

DEVIATION = (0.229, 0.224, 0.225)
"""Likewise."""


def class_names() -> list[str]:
    """Short English names of the 1,000 classes of ILSVRC 2012, in the order of their WordNet identifiers.

    That is the order of TFDS's `imagenet2012` and of the published checkpoints. The names are lemmas of WordNet 3.0,
    with a word added where two classes share one.
    """
    lines = resources.files("canon").joinpath("imagenet_classes.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(" ", 1)[1] for line in lines]
