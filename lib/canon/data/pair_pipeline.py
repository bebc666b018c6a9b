"""Batches of pairs of token sequences, each of pairs that are about as long: bucketed by length.

A batch is filled up to the length of its bucket, so that there is one program to compile for each bucket, and little
time is spent on filling.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from canon.data.pipeline import Batch, evaluation_indices
from canon.data.words import BOS, EOS, PAD
from canon.errors import UserError


@dataclass(frozen=True, eq=False)
class Bucket:
    """Pairs of about a length, in arrays of one.

    Attributes:
      index: which pairs they are, `[size]`.
      arrays: of each, by what a batch calls it: `source` `[size, width]` int32, `length` `[size]` int32, `tokens` (the
        target after `BOS`), `targets` (the target before `EOS`) `[size, width]` int32, and `mask` `[size, width]`
        float32, which is 1 where `targets` has tokens. What is left is `PAD`.
    """

    index: np.ndarray
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class PairPipeline:
    """Batches of pairs; see `Bucket` for what they hold.

    An epoch has every pair once. Each bucket is cut into batches, in an order that (seed, epoch) decide, as they decide
    the order of the batches; the last of a bucket is filled up with pairs whose mask is 0, which count nowhere.

    Attributes:
      buckets: all pairs.
      batch_size: pairs of a training batch.
    """

    buckets: tuple[Bucket, ...]
    batch_size: int

    @property
    def size(self) -> int:
        return sum(len(bucket.index) for bucket in self.buckets)

    @property
    def steps_per_epoch(self) -> int:
        return sum(-(-len(bucket.index) // self.batch_size) for bucket in self.buckets)

    def batch(self, seed: int, step: int) -> Batch:
        epoch, position = divmod(step, self.steps_per_epoch)
        bucket, rows, real = self._epoch(seed, epoch)[position]
        return self._rows(self.buckets[bucket], rows, np.arange(self.batch_size) < real)

    def batches(self, seed: int, first: int, last: int) -> Iterator[Batch]:
        return (self.batch(seed, step) for step in range(first, last))

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Every pair once, bucket by bucket."""
        return (batch for _, batch in self.numbered_batches(batch_size))

    def numbered_batches(self, batch_size: int) -> Iterator[tuple[np.ndarray, Batch]]:
        """`evaluation_batches`, each with the numbers of its pairs: fewer than it has rows, where it is filled up."""
        for bucket in self.buckets:
            for rows, inside in evaluation_indices(len(bucket.index), batch_size):
                yield bucket.index[rows[inside > 0]], self._rows(bucket, rows, inside > 0)

    def _rows(self, bucket: Bucket, rows: np.ndarray, inside: np.ndarray) -> Batch:
        batch = {name: array[rows] for name, array in bucket.arrays.items()}
        return batch | {"mask": batch["mask"] * inside[:, None].astype(np.float32)}

    def _epoch(self, seed: int, epoch: int) -> list[tuple[int, np.ndarray, int]]:
        return _epoch(tuple(len(bucket.index) for bucket in self.buckets), self.batch_size, seed, epoch)


@functools.lru_cache(maxsize=8)
def _epoch(sizes: tuple[int, ...], batch_size: int, seed: int, epoch: int) -> list[tuple[int, np.ndarray, int]]:
    """Of each batch of an epoch its bucket, the rows of it, and how many of them are not there to fill it up."""
    random = np.random.default_rng([seed, epoch])
    batches = []
    for bucket, size in enumerate(sizes):
        order = random.permutation(size)
        for start in range(0, size, batch_size):
            rows = order[start : start + batch_size]
            batches.append((bucket, np.resize(rows, batch_size), len(rows)))
    return [batches[i] for i in random.permutation(len(batches))]


def create(
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    batch_size: int,
    width: int,
    reverse_source: bool,
) -> PairPipeline:
    """The pipeline of pairs.

    Args:
      sources, targets: tokens; none is empty.
      batch_size: pairs of a training batch.
      width: by which the lengths of buckets differ, in tokens.
      reverse_source: give sources back to front: Sutskever et al. 2014, section 3.3.

    Raises:
      UserError: a number is too small.
    """
    if width < 1 or batch_size < 1:
        raise UserError(f"data.bucket and train.batch_size must be at least 1, not {width} and {batch_size}")
    if not batch_size <= len(sources):
        raise UserError(f"train.batch_size must be at most the {len(sources):,} pairs that there are, not {batch_size}")
    # A target has one token more where it is written: its end.
    lengths = np.array([max(len(source), len(target) + 1) for source, target in zip(sources, targets, strict=True)])
    longest = int(lengths.max())
    width = min(width, longest)
    bounds = np.minimum(width * -(-lengths // width), longest)
    buckets = []
    for bound in np.unique(bounds):
        index = np.flatnonzero(bounds == bound)
        here = [list(sources[i])[::-1] if reverse_source else list(sources[i]) for i in index]
        there = [list(targets[i]) for i in index]
        ends = [[*target, EOS] for target in there]
        arrays = {
            "source": _filled(here, bound),
            "length": np.array([len(source) for source in here], np.int32),
            "tokens": _filled([[BOS, *target] for target in there], bound),
            "targets": _filled(ends, bound),
            "mask": (np.arange(bound) < np.array([len(target) for target in ends])[:, None]).astype(np.float32),
        }
        buckets.append(Bucket(index, arrays))
    return PairPipeline(tuple(buckets), batch_size)


def _filled(rows: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """The rows with `PAD` after their ends, `[len(rows), width]` int32."""
    filled = np.full((len(rows), width), PAD, np.int32)
    for row, values in zip(filled, rows, strict=True):
        row[: len(values)] = values
    return filled
