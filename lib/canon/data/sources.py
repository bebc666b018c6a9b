"""Sources: random-access collections of examples, `{"image": uint8 [height, width, channels], "label": int}`.

`digits` comes with scikit-learn; every other name is a TensorFlow-Datasets set that stands prepared as array_record
on disk, read through `tfds.data_source` without TensorFlow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from canon.errors import UserError

Example = dict[str, Any]
ImageShape = tuple[int | None, int | None, int | None]

_ADVICE = (
    "crop them to one, "
    "with --config.data.crop=scale_jitter --config.data.image_size=224 --config.data.normalize=standardize"
)


class Source(Protocol):
    """A random-access collection of labelled images.

    Attributes:
      num_classes: labels are 0 to num_classes − 1.
      image_shape: (height, width, channels), with None for what differs from image to image.
      labels: of all examples, `[size]` int32, without a look at the images.
    """

    num_classes: int
    image_shape: ImageShape
    labels: np.ndarray

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...

    def __getitems__(self, indices: Sequence[int]) -> list[Example]: ...


@dataclass(frozen=True)
class ArraySource:
    """Examples that stand in memory: images `[size, height, width, channels]` uint8, labels `[size]` int32."""

    images: np.ndarray
    labels: np.ndarray
    num_classes: int

    @property
    def image_shape(self) -> ImageShape:
        return self.images.shape[1:]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        return {"image": self.images[index], "label": self.labels[index]}

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        return [self[i] for i in indices]


@dataclass(frozen=True)
class Subset:
    """The examples of `source` at `indices`, in their order."""

    source: Source
    indices: np.ndarray

    @property
    def num_classes(self) -> int:
        return self.source.num_classes

    @property
    def image_shape(self) -> ImageShape:
        return self.source.image_shape

    @property
    def labels(self) -> np.ndarray:
        return self.source.labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        return self.source[int(self.indices[index])]

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        return self.source.__getitems__([int(self.indices[i]) for i in indices])


def one_shape(source: Source) -> tuple[int, int, int]:
    """The (height, width, channels) that all images of `source` have. Raises `UserError` where they differ."""
    if None in source.image_shape:
        raise UserError(f"the images of this data set have different sizes; {_ADVICE}")
    return source.image_shape


def read(source: Source, chunk: int = 1000) -> ArraySource:
    """The whole of `source` in memory. Raises `UserError` where its images have different shapes."""
    if isinstance(source, ArraySource):
        return source
    images = np.empty((len(source), *one_shape(source)), np.uint8)
    labels = np.empty(len(source), np.int32)
    for start in range(0, len(source), chunk):
        indices = range(start, min(start + chunk, len(source)))
        images[indices.start : indices.stop], labels[indices.start : indices.stop] = stack(source, indices)
    return ArraySource(images, labels, source.num_classes)


def stack(
    source: Source, indices: Sequence[int], crop: Callable[[int, np.ndarray], np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of some examples: `[len(indices), height, width, channels]`, `[len(indices)]` int32.

    Args:
      source: where they are.
      indices: which they are.
      crop: from a position in `indices` and its image, of any size, to an array of one shape for all; None where the
        images have one shape already.

    Raises:
      UserError: an image has another shape than the source says.
    """
    expected = one_shape(source) if crop is None else source.image_shape
    examples = source.__getitems__(indices)
    for i, example in zip(indices, examples, strict=True):
        shape = example["image"].shape
        if shape[-1] != expected[-1]:
            raise UserError(f"image {i} has the shape {shape}, but the images of this set have {expected[-1]} channels")
        if crop is None and shape != expected:
            raise UserError(f"image {i} has the shape {shape}, others {expected}: sizes differ; {_ADVICE}")
    images = [example["image"] for example in examples]
    if crop is not None:
        images = [crop(position, image) for position, image in enumerate(images)]
    return np.stack(images), np.array([e["label"] for e in examples], np.int32)


def digits(split: str) -> ArraySource:
    """scikit-learn's 1,797 handwritten digits of 8×8 pixels (UCI, Alpaydin and Kaynak 1998).

    Their values of 0 to 16 are scaled to 0 to 255. The set has no official split: `train` is 1,437 of them and `test`
    the other 360, stratified by class and the same every time.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    if split not in ("train", "test"):
        raise UserError(f"data set digits has the splits train and test, not {split!r}")
    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int32)
    train, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    chosen = train if split == "train" else test
    return ArraySource(images[chosen], labels[chosen], num_classes=10)


def load(name: str, split: str, data_dir: str = "") -> Source:
    """The split `split` of the data set `name`.

    Args:
      name: `digits`, or the official name of a TFDS image-classification set, such as `cifar10`.
      split: the split's name in that set.
      data_dir: where TFDS finds its prepared sets; empty for `TFDS_DATA_DIR`, or else TFDS's own default.

    Raises:
      UserError: no such set or split, it is not prepared, or its examples are not labelled images.
    """
    if name == "digits":
        return digits(split)
    from canon.data import tfds_source  # an import of 0.3 s, which digits can do without

    return tfds_source.load(name, split, data_dir)


def check_labels(source: Source, name: str) -> None:
    """Raises `UserError`, with the source's `name`, unless every label is one of its classes."""
    labels = source.labels
    wrong = np.flatnonzero((labels < 0) | (labels >= source.num_classes))
    if len(wrong):
        raise UserError(
            f"{name} has {len(wrong)} labels outside its {source.num_classes} classes; "
            f"example {wrong[0]} has the label {labels[wrong[0]]}"
        )


def fold(source: Source, folds: int, index: int) -> tuple[Source, Source]:
    """`source` without one of `folds` parts of it, and that part: stratified by class and the same every time.

    Raises:
      UserError: there are fewer than two folds, none of that index, or a class has fewer examples than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold

    if folds < 2 or not 0 <= index < folds:
        raise UserError(f"data.fold must be from 0 to data.folds − 1, of two folds or more, not {index} of {folds}")
    sizes = np.bincount(source.labels, minlength=source.num_classes)
    if sizes.min() < folds:
        raise UserError(
            f"{folds} folds are more than the {sizes.min()} training examples of class {sizes.argmin()}; "
            f"every fold needs one of each class"
        )
    parts = StratifiedKFold(folds, shuffle=True, random_state=0).split(np.zeros(len(source)), source.labels)
    kept, held = list(parts)[index]
    return Subset(source, kept), Subset(source, held)


def hold_out(source: Source, examples: int) -> tuple[Source, Source]:
    """`source` without `examples` of its examples, and those: stratified by class and the same every time.

    Raises:
      UserError: that leaves fewer examples than classes on one side.
    """
    from sklearn.model_selection import train_test_split

    if not source.num_classes <= examples <= len(source) - source.num_classes:
        raise UserError(
            f"data.validation_examples must be 0, or between {source.num_classes} (the classes) and "
            f"{len(source) - source.num_classes} of the {len(source)} training examples, not {examples}"
        )
    kept, held = train_test_split(np.arange(len(source)), test_size=examples, stratify=source.labels, random_state=0)
    return Subset(source, np.sort(kept)), Subset(source, np.sort(held))
