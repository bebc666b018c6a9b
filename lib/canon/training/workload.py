"""What a kind of task gives a program: the part of it that knows what the examples are."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ml_collections import ConfigDict

from canon.config import default
from canon.data.pipeline import Pipeline
from canon.data.preprocess import Preprocess
from canon.errors import UserError
from canon.training.task import Task, Variables


@dataclass(frozen=True)
class Workload:
    """A task with its data.

    Attributes:
      task: what is learned.
      pipelines: by split: `train`, `validation` where one is held out, `test`.
      preprocess: from a batch as it is stored to what the task takes.
      views: by split, how often an evaluation sees each example: as so many crops. 1 where it is missing.
      vocabularies: of texts, by name: what their tokens mean, in the order of their numbers.
      checksums: of each split of a text, by which another one is told.
      derive: from recorded values, by name, to others that follow from them.
      measure: (variables, split, batch_size) -> `canon.training.measures.MEASURED` of a split that was held out.
    """

    task: Task
    pipelines: dict[str, Pipeline]
    preprocess: Preprocess
    views: Mapping[str, int] = field(default_factory=dict)
    vocabularies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    checksums: Mapping[str, int] = field(default_factory=dict)
    derive: Callable[[dict[str, float]], dict[str, float]] = lambda values: {}
    measure: Callable[[Variables, str, int], dict[str, float]] = lambda variables, split, batch_size: {}


def splits(data: ConfigDict) -> dict[str, str]:
    """The splits that a config asks for, by what they are here, as the data set names them; `train` is always there."""
    named = {"validation": data.validation_split, "test": data.test_split}
    return {"train": data.train_split} | {split: name for split, name in named.items() if name}


def check_data(config: ConfigDict, known: Collection[str], of: str) -> None:
    """Raises `UserError` where a config's section `data` sets something that means nothing to a kind of examples.

    Args:
      config: of the arm.
      known: the fields that mean something.
      of: the examples, in the plural.
    """
    for name, usual in default().data.items():
        if name not in known and config.data[name] != usual:
            raise UserError(f"data.{name} means nothing to {of}; leave it at {usual!r}")


def check_fields(config: ConfigDict, known: Collection[str], watch_activity: bool, of: str) -> None:
    """`check_data`, for examples that are no images; nor does anything mean something that is for images alone."""
    if watch_activity:
        raise UserError("train.watch=activity is for networks of images; gradients can be watched of any")
    check_data(config, known, of)
    for name, usual in default().augment.items():
        if config.augment[name] != usual:
            raise UserError(f"augment.{name} means nothing to {of}; leave it at {usual!r}")


def check_cross_entropy(config: ConfigDict, of: str) -> None:
    """Raises `UserError` unless the loss is the one of which perplexity and bits are made."""
    smoothing = config.loss.get("label_smoothing", 0)
    if config.loss.name != "softmax_cross_entropy" or smoothing:
        raise UserError(
            f"the loss of {of} is softmax_cross_entropy without label_smoothing, of which perplexity is made; not "
            f"{config.loss.name} with label_smoothing={smoothing}"
        )
