"""A program: all of a run that does not depend on its seed, built once and compiled once for every seed of an arm."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict, FrozenConfigDict

from canon import losses, models, optimizers, schedules
from canon.data import crops, preprocess, sources
from canon.data import pipeline as pipelines
from canon.data.augmentation import Augmentation
from canon.data.crops import Crops
from canon.data.pipeline import Pipeline
from canon.data.sources import Source
from canon.errors import UserError
from canon.training import parallel
from canon.training.state import TrainState, initial_state
from canon.training.step import EvaluationStep, TrainStep, make_evaluation_step, make_train_step
from canon.training.task import Classification


@dataclass(frozen=True)
class Program:
    """What the loop runs.

    Attributes:
      config: of the arm, complete.
      pipelines: by split: `train`, `validation` where one is held out, `test`.
      init: from a seed to the state before the first step.
      abstract_state: the shapes, dtypes and places of a state, to restore one into.
      train_step: compiled on its first call; it consumes the state that it is given.
      evaluation_step: likewise, but it leaves the state alone.
    """

    config: ConfigDict
    pipelines: dict[str, Pipeline]
    init: Callable[[int], TrainState]
    abstract_state: TrainState
    train_step: TrainStep
    evaluation_step: EvaluationStep

    def evaluation_batch_size(self, split: str) -> int:
        """Examples in a batch of an evaluation: `train.evaluation_batch_size`, in which every crop of an image counts.

        It is no more than the largest split, and rounded up to the next multiple of the devices.
        """
        wanted = max(1, self.config.train.evaluation_batch_size // _evaluation_crops(self.config.data, split))
        wanted = min(wanted, max(pipeline.size for pipeline in self.pipelines.values()))
        return -(-wanted // self.devices) * self.devices

    def recorded(self) -> set[str]:
        """The names of what every step of training records, found without running one."""
        example = self.pipelines["train"].batch(seed=0, step=0)
        _, metrics = jax.eval_shape(self.train_step, self.abstract_state, example)
        return set(metrics)

    @property
    def devices(self) -> int:
        """How many devices it runs on."""
        return self.config.parallel.devices or jax.local_device_count()


WATCHED = ("activity", "gradients")
"""What `train.watch` can hold."""

_MOST_STEPS = 2**31 - 1  # the state counts in int32


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
    if data.validation_examples and data.folds:
        raise UserError("data.validation_examples and data.folds both hold examples out: set one of them to 0")
    if data.validation_examples:
        splits["train"], splits["validation"] = sources.hold_out(train, data.validation_examples)
    elif data.folds:
        splits["train"], splits["validation"] = sources.fold(train, data.folds, data.fold)
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


def _check(train: ConfigDict) -> None:
    for name in ("batch_size", "steps", "log_every", "evaluate_every", "checkpoint_every", "evaluation_batch_size"):
        if train[name] < 1:
            raise UserError(f"train.{name} must be at least 1, not {train[name]}")
    if not 0 <= train.target_error < 1:
        raise UserError(f"train.target_error must be at least 0 and below 1, not {train.target_error}")
    if train.give_up_after < 0 or (train.give_up_after and not (train.target_error and train.stop_at_target)):
        raise UserError(
            f"train.give_up_after={train.give_up_after} must be 0, or above 0 with train.target_error and "
            "train.stop_at_target"
        )
    if train.steps > _MOST_STEPS:
        raise UserError(f"train.steps must be at most {_MOST_STEPS:,}, not {train.steps:,}")


def build(config: ConfigDict) -> Program:
    """The program of an arm. It reads the data, and compiles and writes nothing.

    Raises:
      UserError: something in the config does not exist or does not fit; the message says what.
    """
    _check(config.train)
    data = FrozenConfigDict(config.data)
    watch = [word.strip() for word in config.train.watch.split(",") if word.strip()]
    if unknown := set(watch) - set(WATCHED):
        raise UserError(f"train.watch takes any of {', '.join(WATCHED)}, not {min(unknown)!r}")
    for split in ("train", "test"):  # before anything is read
        _crops(data, split)
    splits = _splits(data)
    num_classes = splits["train"].num_classes
    model = models.create(**config.model, num_classes=num_classes)
    loss = losses.create(**config.loss, num_classes=num_classes)
    task = Classification(model, loss, watch_activity="activity" in watch)
    if data.evaluation_crops > 1 and config.loss.name != "softmax_cross_entropy":
        raise UserError(
            f"data.evaluation_crops={data.evaluation_crops} averages probabilities, which the loss {config.loss.name} "
            "does not take; use softmax_cross_entropy, or one crop"
        )
    schedule = schedules.create(**config.schedule, steps=config.train.steps)
    optimizer = optimizers.create(**config.optimizer, learning_rate=schedule)
    mesh = parallel.data_mesh(config.parallel.devices, config.train.batch_size)

    batches = _pipelines(data, config.train.batch_size, mesh)
    prepare = _preprocess(data, Augmentation(**config.augment))
    example = batches["train"].batch(seed=0, step=0)
    seen = jax.eval_shape(lambda batch: prepare(batch, None), example)

    def init(seed: jax.Array) -> TrainState:
        blank = jax.tree.map(lambda a: jax.numpy.zeros(a.shape, a.dtype), seen)
        return initial_state(task, optimizer, blank, seed)

    abstract = jax.eval_shape(init, jax.ShapeDtypeStruct((), jax.numpy.uint32))
    place = parallel.replicated(mesh)
    compiled_init = parallel.jit_init(init, mesh)
    train_step = make_train_step(task, optimizer, schedule, prepare, watch_gradients="gradients" in watch)
    return Program(
        config=config,
        pipelines=batches,
        init=lambda seed: compiled_init(jax.numpy.uint32(seed)),
        abstract_state=jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), abstract),
        train_step=parallel.jit(train_step, mesh, example, donate_state=True),
        evaluation_step=parallel.jit(make_evaluation_step(task, prepare), mesh, batch={}),
    )
