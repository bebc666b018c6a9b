"""What a kind of task gives a program: the part of it that knows what the examples are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from canon.data.pipeline import Pipeline
from canon.data.preprocess import Preprocess
from canon.data.text import Vocabulary
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
