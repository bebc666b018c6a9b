"""The classes of ImageNet: Russakovsky et al. 2015, "ImageNet large scale visual recognition challenge"."""

from importlib import resources


def class_names() -> list[str]:
    """Short English names of the 1,000 classes of ILSVRC 2012, in the order of their WordNet identifiers.

    That is the order of TFDS's `imagenet2012` and of the published checkpoints. The names are lemmas of WordNet 3.0,
    with a word added where two classes share one.
    """
    lines = resources.files("canon.data").joinpath("imagenet_classes.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(" ", 1)[1] for line in lines]
