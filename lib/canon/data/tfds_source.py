"""Image-classification sets of TensorFlow Datasets, read from array_record files without TensorFlow.

`tfds.data_source` itself starts a download when a set is not prepared, and a download needs TensorFlow; so this file
asks the builder first, and says how to prepare what is missing.
"""

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from canon.data.sources import Example, ImageShape
from canon.errors import UserError, did_you_mean


@dataclass(frozen=True)
class TfdsSource:
    """A `tfds` data source, seen as images and labels only.

    Attributes:
      data_source: TFDS's own.
      undecoded: the same one with its images left encoded, from which labels are read at once.
    """

    data_source: Any
    undecoded: Any
    num_classes: int
    image_shape: ImageShape

    @functools.cached_property
    def labels(self) -> np.ndarray:
        chunks = [range(start, min(start + 1000, len(self))) for start in range(0, len(self), 1000)]
        return np.array([e["label"] for chunk in chunks for e in self.undecoded.__getitems__(chunk)], np.int32)

    def __len__(self) -> int:
        return len(self.data_source)

    def __getitem__(self, index: int) -> Example:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        try:
            examples = self.data_source.__getitems__(indices)
        except OSError as error:  # what Pillow raises for an image that it cannot decode
            if len(indices) > 1:  # one by one, to find which
                return [self[index] for index in indices]
            info = self.data_source.dataset_info
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"example {indices[0]} of {info.full_name}, split {self.data_source.split}, in {info.data_dir} is "
                f"damaged ({reason}); prepare the data set again"
            ) from error
        return [{"image": e["image"], "label": e["label"]} for e in examples]


def builder(name: str, data_dir: str = "", **kwargs: Any) -> tfds.core.DatasetBuilder:
    """The TFDS builder of the set `name`. Raises `UserError` where TFDS knows no such set, or cannot open it."""
    try:
        return tfds.builder(name, data_dir=data_dir or None, **kwargs)
    except tfds.core.registered.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        raise UserError(
            f"no data set is called {name!r}{did_you_mean(name, ['digits', *known])} "
            "(there are digits and the sets of TensorFlow Datasets, by their official names)"
        ) from None
    except Exception as error:  # whatever is wrong with a name's version or config, or with what lies on disk
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"data set {name} cannot be opened: {type(error).__name__}: {reason}") from error


def _prepared(name: str, split: str, data_dir: str) -> tfds.core.DatasetBuilder:
    """The builder of a set that stands prepared as array_record and has that split. Raises `UserError` else."""
    found = builder(name, data_dir)
    command = f"launch.py prepare {name}" + (f" --data_dir={data_dir}" if data_dir else "")
    how = f"run `{command}`, or name the folder that holds it in TFDS_DATA_DIR or --config.data.data_dir"
    if not found.is_prepared():
        raise UserError(f"data set {name} is not prepared in {found.data_dir}: {how}")
    file_format = found.info.file_format
    if file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        raise UserError(
            f"data set {name} in {found.data_dir} is stored as {file_format.value}, which cannot be read without "
            f"TensorFlow; prepare it as array_record in another folder: `launch.py prepare {name} --data_dir=DIR`"
        )
    if split not in found.info.splits:
        raise UserError(f"data set {name} has the splits {', '.join(found.info.splits)}, not {split!r}")
    return found


@functools.cache
def load_text(name: str, split: str, data_dir: str = "") -> str:
    """The split of a prepared set of texts, its examples one after another; see `canon.data.text.load`."""
    found = _prepared(name, split, data_dir)
    features = dict(found.info.features)
    if not isinstance(features.get("text"), tfds.features.Text):
        raise UserError(f"data set {name} is not one of texts: it has {', '.join(features)}, and needs text")
    return "".join(example["text"].decode() for example in found.as_data_source(split))


@functools.cache
def load(name: str, split: str, data_dir: str = "") -> TfdsSource:
    """The split of a prepared set; see `canon.data.sources.load`."""
    found = _prepared(name, split, data_dir)
    features = dict(found.info.features)
    image, label = features.get("image"), features.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise UserError(
            f"data set {name} is not one of labelled images: it has {', '.join(features)}, and needs image and label"
        )
    data_source = found.as_data_source(split)
    undecoded = found.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    if len(undecoded) and undecoded[0]["label"] < 0:  # as the official test split of ImageNet
        raise UserError(f"the split {split} of {name} has no labels; it has the splits {', '.join(found.info.splits)}")
    return TfdsSource(data_source, undecoded, label.num_classes, _image_shape(image, data_source))


def _image_shape(declared: tfds.features.Image, data_source: Any) -> ImageShape:
    """The shape that the set declares. A set that declares none may have one all the same: sixteen images tell."""
    if None not in declared.shape or not len(data_source):
        return tuple(declared.shape)
    indices = [i * len(data_source) // 16 for i in range(16)]
    shapes = [example["image"].shape for example in data_source.__getitems__(indices)]
    return tuple(
        lengths[0] if len(set(lengths)) == 1 else length
        for length, lengths in zip(declared.shape, zip(*shapes, strict=True), strict=True)
    )


def prepare(name: str, data_dir: str = "") -> tfds.core.DatasetBuilder:
    """Downloads the set `name` and prepares it as array_record; does nothing where that has been done.

    Raises:
      UserError: TFDS knows no such set, or the download or the preparation failed.
    """
    found = builder(name, data_dir)
    if found.is_prepared():
        if found.info.file_format is tfds.core.FileFormat.ARRAY_RECORD:
            return found
        raise UserError(
            f"{found.data_dir} holds {name} as {found.info.file_format.value} already; "
            f"give another folder: launch.py prepare {name} --data_dir=DIR"
        )
    wanted = builder(name, data_dir, file_format="array_record")
    # Its own sets encode their images with TensorFlow, which shows only after a download that may take hours.
    if type(wanted).__module__.startswith("tensorflow_datasets.") and not importlib.util.find_spec("tensorflow"):
        raise UserError(_needs(name, "tensorflow"))
    # A folder for each set: TFDS finds extracted files again by their names, which are the same in MNIST and
    # Fashion-MNIST, so that a shared folder once made one of them out of the other's images.
    downloads = wanted.data_path.parents[wanted.info.full_name.count("/")] / "downloads" / name
    try:
        wanted.download_and_prepare(download_dir=downloads)
    except ImportError as error:
        raise UserError(_needs(name, error.name or "a package")) from error
    except Exception as error:  # a download can fail in as many ways as there are servers
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"preparing {name} failed: {type(error).__name__}: {reason}") from error
    return wanted


def _needs(name: str, package: str) -> str:
    return f"preparing {name} needs {package}, which is not installed: pip install -e '.[prepare]'"
