"""Where the time of a run goes."""

import contextlib
import time
from collections.abc import Iterable, Iterator

PARTS = ("data", "compile", "step", "evaluate", "save")
"""Waiting for a batch; making the first state, and the first step of each shape of batch, both compiled; steps, in
which the loop waits for the device; evaluations, with what they compile; checkpoints, as far as they hold up the loop.
What is left is the rest."""


class Stopwatch:
    """Adds up the seconds of each of `PARTS`.

    Args:
      seconds: what former launches of the run have used.
    """

    def __init__(self, seconds: dict[str, float] | None = None):
        self.seconds = dict.fromkeys(PARTS, 0.0) | (seconds or {})

    @contextlib.contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Counts what happens within for a part."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - began

    def waiting(self, batches: Iterable) -> Iterator:
        """The same batches; waiting for each counts for `data`."""
        left = iter(batches)
        while True:
            with self.of("data"):
                try:
                    batch = next(left)
                except StopIteration:
                    return
            yield batch


def describe(seconds: dict[str, float], total: float) -> str:
    """The shares in words, the largest first, those of 1% and more: `step 71%, compile 20%`."""
    if not seconds or total <= 0:
        return ""
    shares = {part: 100 * spent / total for part, spent in seconds.items()}
    shares["rest"] = 100 - sum(shares.values())
    shown = sorted(((share, part) for part, share in shares.items() if share >= 0.5), reverse=True)
    return ", ".join(f"{part} {share:.0f}%" for share, part in shown)
