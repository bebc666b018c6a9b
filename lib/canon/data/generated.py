"""Sequences that are made, and not read: tasks whose difficulty is how long something has to be remembered.

A batch of training is made anew for each (seed, step), so that no example is seen twice; what a split is evaluated on
is the same every time.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from canon.data.pipeline import Batch, evaluation_indices
from canon.errors import UserError, did_you_mean

Make = Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Task:
    """A kind of sequence.

    Attributes:
      make: (generator, number, length) -> symbols `[number, length]` int and labels `[number]` int, or one for each
        symbol, `[number, length]`.
      symbols: how many there are.
      num_classes: labels are 0 to num_classes − 1.
      shortest: the least length that it can have.
    """

    make: Make
    symbols: int
    num_classes: int
    shortest: int


def temporal_order(random: np.random.Generator, number: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of A and B came first, and which second? Hochreiter and Schmidhuber 1997, task 6a.

    All symbols are drawn from four that mean nothing (2 to 5), but for two, which are A (0) or B (1): one at a random
    place in the second tenth of the sequence, one in the fifth (Pascanu et al. 2013, section 4.1.1). The label is
    2 · first + second.
    """
    symbols = random.integers(2, 6, (number, length))
    answers = random.integers(0, 2, (number, 2))
    for column, (begin, end) in enumerate(((0.1, 0.2), (0.4, 0.5))):
        first = int(begin * length)
        places = random.integers(first, max(int(end * length), first + 1), number)
        symbols[np.arange(number), places] = answers[:, column]
    return symbols, 2 * answers[:, 0] + answers[:, 1]


def delayed_recall(random: np.random.Generator, number: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """What was the first symbol? The least that a memory can do: Hochreiter and Schmidhuber 1997, section 5.2.

    The first is one of four (0 to 3), the others are drawn from four that mean nothing (4 to 7).
    """
    symbols = random.integers(4, 8, (number, length))
    symbols[:, 0] = random.integers(0, 4, number)
    return symbols, symbols[:, 0].copy()


def between_markers(random: np.random.Generator, number: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each symbol: which marker came last, and which will come next? What is behind says half of it.

    A thirtieth of the symbols, and the first and the last, are markers, A (0) or B (1); the others are drawn from four
    that mean nothing (2 to 5). The label is 2 · last + next; a marker is its own last and next one.
    """
    markers = random.integers(0, 2, (number, length))
    is_marker = random.random((number, length)) < 1 / 30
    is_marker[:, [0, -1]] = True
    place = np.arange(length)
    last = np.maximum.accumulate(np.where(is_marker, place, 0), axis=1)
    following = np.minimum.accumulate(np.where(is_marker, place, length - 1)[:, ::-1], axis=1)[:, ::-1]
    labels = 2 * np.take_along_axis(markers, last, axis=1) + np.take_along_axis(markers, following, axis=1)
    return np.where(is_marker, markers, random.integers(2, 6, (number, length))), labels


TASKS = {
    "delayed_recall": Task(delayed_recall, symbols=8, num_classes=4, shortest=1),
    "temporal_order": Task(temporal_order, symbols=6, num_classes=4, shortest=10),
}
"""Those with a label for each sequence."""

TAGS = {"between_markers": Task(between_markers, symbols=6, num_classes=4, shortest=1)}
"""Those with a label for each symbol."""

_EVALUATED = {"train": 1, "validation": 2, "test": 3}
"""Of each split, what its examples are drawn with; training batches are drawn with 0."""


@dataclass(frozen=True)
class GeneratedPipeline:
    """Batches `{"sequence": [batch, length, symbols] uint8, "label": [batch] int32}`, each symbol as a row of one 1.

    Where each symbol has a label, `label` is `[batch, length]`, and so is an evaluation's `mask`.

    Attributes:
      task: what is made.
      length: of each sequence.
      batch_size: sequences of a training batch.
      examples: how many an evaluation sees.
      split: which split it is.
    """

    task: Task
    length: int
    batch_size: int
    examples: int
    split: str

    @property
    def size(self) -> int:
        return self.examples

    def batch(self, seed: int, step: int) -> Batch:
        return self._make(np.random.default_rng([0, seed, step]), self.batch_size)

    def batches(self, seed: int, first: int, last: int) -> Iterator[Batch]:
        return (self.batch(seed, step) for step in range(first, last))

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        whole = self._make(np.random.default_rng([_EVALUATED[self.split], 0]), self.examples)
        for index, mask in evaluation_indices(self.examples, batch_size):
            batch = {name: array[index] for name, array in whole.items()}
            inside = mask.reshape(-1, *[1] * (batch["label"].ndim - 1))
            yield batch | {"mask": np.broadcast_to(inside, batch["label"].shape)}

    def _make(self, random: np.random.Generator, number: int) -> Batch:
        symbols, labels = self.task.make(random, number, self.length)
        rows = np.eye(self.task.symbols, dtype=np.uint8)
        return {"sequence": rows[symbols], "label": labels.astype(np.int32)}


def create(
    name: str, length: int, batch_size: int, examples: int, split: str, tasks: Mapping[str, Task] = TASKS
) -> GeneratedPipeline:
    """The pipeline of a split of one of `tasks`.

    Raises:
      UserError: there is no such task or split, or a number is too small.
    """
    if name not in tasks:
        raise UserError(f"no sequences are called {name!r}{did_you_mean(name, tasks)} (there are: {', '.join(tasks)})")
    if split not in _EVALUATED:
        raise UserError(f"sequences have the splits {', '.join(_EVALUATED)}, not {split!r}")
    if length < tasks[name].shortest:
        raise UserError(f"data.length must be at least {tasks[name].shortest} for {name}, not {length}")
    if min(batch_size, examples) < 1:
        raise UserError(f"train.batch_size and data.examples must be at least 1, not {batch_size} and {examples}")
    return GeneratedPipeline(tasks[name], length, batch_size, examples, split)
