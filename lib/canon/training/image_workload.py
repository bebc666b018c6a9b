"""Images to classes: what the config's sections `data`, `augment`, `model` and `loss` ask for."""

import functools
from dataclasses import dataclass

from jax.sharding import Mesh
from ml_collections import ConfigDict, FrozenConfigDict

from canon import losses, models
from canon.data import crops, preprocess, sources
from canon.data import pipeline as pipelines
from canon.data.augmentation import Augmentation
from canon.data.crops import Crops
from canon.data.pipeline import Pipeline
from canon.data.preprocess import Preprocess
from canon.data.sources import Source
from canon.errors import UserError
from canon.training import parallel, workload
from canon.training.task import Classification
from canon.training.workload import Workload

# What the section `data` has for images.
_FIELDS = (
    "source", "data_dir", "train_split", "validation_split", "test_split", "validation_examples", "folds", "fold",
    "placement", "normalize", "image_size", "crop", "crop_scales", "evaluation_scale", "evaluation_crops",
)  # fmt: skip


def create(config: ConfigDict, mesh: Mesh, watch_activity: bool) -> Workload:
    """The workload of an arm. It reads the data.

    Raises:
      UserError: something in the config does not exist or does not fit.
    """
    models.check_kind(config.model.name, "image")
    images = read(config, mesh)
    data, num_classes = config.data, images.num_classes
    model = models.create(**config.model, num_classes=num_classes)
    loss = losses.create(**config.loss, num_classes=num_classes)
    if data.evaluation_crops > 1 and config.loss.name != "softmax_cross_entropy":
        raise UserError(
            f"data.evaluation_crops={data.evaluation_crops} averages probabilities, which the loss {config.loss.name} "
            "does not take; use softmax_cross_entropy, or one crop"
        )
    return Workload(
        task=Classification(model, loss, watch_activity=watch_activity),
        pipelines=images.pipelines,
        preprocess=images.preprocess,
        views={split: _evaluation_crops(data, split) for split in images.pipelines},
    )


@dataclass(frozen=True)
class Images:
    """What a config's sections `data` and `augment` ask for, whatever is to be learned of it.

    Attributes:
      pipelines, preprocess: see `canon.training.workload.Workload`.
      num_classes: labels are 0 to num_classes − 1.
    """

    pipelines: dict[str, Pipeline]
    preprocess: Preprocess
    num_classes: int


def read(config: ConfigDict, mesh: Mesh) -> Images:
    """The images of an arm. Raises `UserError` where something in the config does not exist or does not fit."""
    workload.check_data(config, _FIELDS, "images")
    data = FrozenConfigDict(config.data)
    for split in ("train", "test"):  # before anything is read
        _crops(data, split)
    return Images(
        _pipelines(data, config.train.batch_size, mesh),
        _preprocess(data, Augmentation(**config.augment)),
        _splits(data)["train"].num_classes,
    )


def _crops(data: FrozenConfigDict, split: str) -> Crops | None:
    number = _evaluation_crops(data, split)
    return crops.create(data.crop, data.image_size, data.crop_scales, number, data.evaluation_scale)


def _evaluation_crops(data: ConfigDict | FrozenConfigDict, split: str) -> int:
    # The training split is evaluated on single crops: ten take ten times as long, over the largest of the splits, and
    # the training curves that papers show are of single crops.
    return data.evaluation_crops if split != "train" else 1


@functools.lru_cache(maxsize=4)
def _splits(data: FrozenConfigDict) -> dict[str, Source]:
    train = sources.load(data.source, data.train_split, data.data_dir)
    splits = {"train": train}
    if (data.validation_examples > 0) + (data.folds > 0) + bool(data.validation_split) > 1:
        raise UserError(
            "data.validation_split, data.validation_examples and data.folds each say what is held out: set one of them"
        )
    if data.validation_examples:
        splits["train"], splits["validation"] = sources.hold_out(train, data.validation_examples)
    elif data.folds:
        splits["train"], splits["validation"] = sources.fold(train, data.folds, data.fold)
    elif data.validation_split:
        splits["validation"] = sources.load(data.source, data.validation_split, data.data_dir)
    if data.test_split:
        splits["test"] = sources.load(data.source, data.test_split, data.data_dir)
    for name, source in splits.items():
        sources.check_labels(source, f"the split {name} of {data.source}")
    # What will stay on the device is decoded here, once: the statistics of the training split want it as well.
    return {
        name: sources.read(source) if pipelines.is_resident(source, data.placement, _crops(data, name)) else source
        for name, source in splits.items()
    }


# Arms that differ in the model alone share one copy of the data.
@functools.lru_cache(maxsize=1)
def _pipelines(data: FrozenConfigDict, batch_size: int, mesh: Mesh) -> dict[str, Pipeline]:
    splits = _splits(data)
    places = parallel.replicated(mesh), parallel.split(mesh)
    train = pipelines.create(splits["train"], batch_size, data.placement, *places, _crops(data, "train"))
    rest = {
        name: pipelines.create(source, min(batch_size, len(source)), data.placement, *places, _crops(data, name))
        for name, source in splits.items()
        if name != "train"
    }
    return {"train": train, **rest}


@functools.lru_cache(maxsize=4)
def _preprocess(data: FrozenConfigDict, augmentation: Augmentation) -> preprocess.Preprocess:
    train = _splits(data)["train"]
    return preprocess.create(train, data.normalize, augmentation, data.image_size, _crops(data, "train"))
