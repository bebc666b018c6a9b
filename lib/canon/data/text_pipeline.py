"""Batches of a long text, for back-propagation through time.

The text is cut into as many runs as a batch has rows, and each run into chunks. Step t has the t-th chunk of every run,
so that row b of one batch goes on where row b of the batch before ended, and a network's carry can be handed on.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from canon.data.pipeline import Batch
from canon.errors import UserError


@dataclass(frozen=True)
class TextPipeline:
    """Batches `{"tokens", "targets"}` `[batch, chunk]` int32, each target the token after, and `begins` `[batch]` bool.

    Where `begins` is set, nothing is handed on from the batch before: an epoch begins. Each epoch begins a few tokens
    into the text, as (seed, epoch) say; what does not fill a chunk is left for another epoch.

    Attributes:
      tokens: the text, `[size + 1]` int32.
      batch_size: rows of a training batch.
      chunk: tokens of each.
    """

    tokens: np.ndarray
    batch_size: int
    chunk: int

    @property
    def size(self) -> int:
        """How many tokens there are to predict."""
        return len(self.tokens) - 1

    @property
    def steps_per_epoch(self) -> int:
        return self.size // (self.batch_size * self.chunk)

    def batch(self, seed: int, step: int) -> Batch:
        epoch, position = divmod(step, self.steps_per_epoch)
        run = self.steps_per_epoch * self.chunk
        first = _offset(self.size - self.batch_size * run, seed, epoch) + position * self.chunk
        index = first + run * np.arange(self.batch_size)[:, None] + np.arange(self.chunk)
        return self._at(index, begins=position == 0)

    def batches(self, seed: int, first: int, last: int) -> Iterator[Batch]:
        return (self.batch(seed, step) for step in range(first, last))

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Every token but the first once, in `batch_size` runs; `mask` `[batch, chunk]` is 0 for what fills them up.

        Only the first token of each run is predicted from one token alone.
        """
        run = -(-self.size // batch_size)
        starts = run * np.arange(batch_size)[:, None]
        for position in range(0, run, self.chunk):
            column = position + np.arange(self.chunk)
            index = starts + column
            mask = (column < run) & (index < self.size)
            batch = self._at(np.minimum(index, self.size - 1), begins=position == 0)
            yield batch | {"mask": mask.astype(np.float32)}

    def _at(self, index: np.ndarray, begins: bool) -> Batch:
        return {"tokens": self.tokens[index], "targets": self.tokens[index + 1], "begins": np.full(len(index), begins)}


@functools.lru_cache(maxsize=4)
def _offset(most: int, seed: int, epoch: int) -> int:
    return int(np.random.default_rng([seed, epoch]).integers(most + 1))


def create(tokens: np.ndarray, batch_size: int | None, chunk: int, split: str) -> TextPipeline:
    """The pipeline of a text.

    Args:
      tokens: see `TextPipeline`.
      batch_size: rows of a training batch; None for a text that is only evaluated.
      chunk: tokens of each row.
      split: the name of the text.

    Raises:
      UserError: a number is too small, or the text is shorter than a chunk for each row of a batch.
    """
    if chunk < 1:
        raise UserError(f"data.chunk must be at least 1, not {chunk}")
    if batch_size is None:
        if len(tokens) < 2:
            raise UserError(
                f"the {split} text has {len(tokens)} characters: there is none to predict; give a longer text"
            )
        return TextPipeline(tokens, 1, chunk)
    if batch_size < 1:
        raise UserError(f"train.batch_size must be at least 1, not {batch_size}")
    needed = batch_size * chunk + 1
    if len(tokens) < needed:
        raise UserError(
            f"the {split} text has {len(tokens):,} characters; {batch_size} rows of {chunk} need {needed:,}: "
            "give a longer text, or a smaller train.batch_size or data.chunk"
        )
    return TextPipeline(tokens, batch_size, chunk)
