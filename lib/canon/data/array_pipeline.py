"""Batches of examples that stand in memory as arrays."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from canon.data.pipeline import Batch, evaluation_indices, example_indices
from canon.errors import UserError


@dataclass(frozen=True, eq=False)
class ArrayPipeline:
    """Batches of `arrays`, by the same names; in an evaluation with `mask` `[batch]`, which is 0 for what fills it up.

    Attributes:
      arrays: each `[size, ...]`.
      batch_size: examples of a training batch.
    """

    arrays: Mapping[str, np.ndarray]
    batch_size: int

    def __post_init__(self):
        if not 1 <= self.batch_size <= self.size:
            raise UserError(
                f"train.batch_size must be from 1 to the {self.size:,} examples of the split, not {self.batch_size}"
            )

    @property
    def size(self) -> int:
        return len(next(iter(self.arrays.values())))

    def batch(self, seed: int, step: int) -> Batch:
        return self._at(example_indices(self.size, self.batch_size, seed, step))

    def batches(self, seed: int, first: int, last: int) -> Iterator[Batch]:
        return (self.batch(seed, step) for step in range(first, last))

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        return (self._at(index) | {"mask": mask} for index, mask in evaluation_indices(self.size, batch_size))

    def _at(self, index: np.ndarray) -> Batch:
        return {name: array[index] for name, array in self.arrays.items()}
