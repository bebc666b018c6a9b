"""What a kind of task gives a program: the part of it that knows what the examples are."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ml_collections import ConfigDict

from canon.config import default
from canon.data.pipeline import Pipeline
from canon.data.preprocess import Preprocess
from canon.data.text import Vocabulary
from canon.errors import UserError
from canon.training.task import Task


@dataclass(frozen=True)
class Workload:
    """A task with its data.

    Attributes:
      task: what is learned.
      pipelines: by split: `train`, `validation` where one is held out, `test`.
      preprocess: from a batch as it is stored to what the task takes.
      views: by split, how often an evaluation sees each example: as so many crops. 1 where it is missing.
      vocabulary: of a text.
      derive: from recorded values, by name, to others that follow from them.
    """

    task: Task
    pipelines: dict[str, Pipeline]
    preprocess: Preprocess
    views: Mapping[str, int] = field(default_factory=dict)
    vocabulary: Vocabulary | None = None
    derive: Callable[[dict[str, float]], dict[str, float]] = lambda values: {}


def check_fields(config: ConfigDict, known: Collection[str], watch_activity: bool, of: str) -> None:
    """Raises `UserError` where a config sets something that means nothing to examples of a kind.

    Args:
      config: of the arm.
      known: the fields of its section `data` that mean something.
      watch_activity: whether activity is to be watched, which is for images.
      of: the examples, in the plural.
    """
    if watch_activity:
        raise UserError("train.watch=activity is for networks of images; gradients can be watched of any")
    for section in ("data", "augment"):
        for name, usual in default()[section].items():
            if (section == "augment" or name not in known) and config[section][name] != usual:
                raise UserError(f"{section}.{name} means nothing to {of}; leave it at {usual!r}")
