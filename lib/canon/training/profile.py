"""A trace of some steps of a run: what each operation took, for Perfetto and TensorBoard."""

import re
from pathlib import Path
from typing import Any

import jax

from canon.errors import UserError

FOLDER = "profile"
"""In a run's folder."""


class Profile:
    """A trace of the steps from one to another, of the first run that takes them.

    Args:
      first, last: the steps, from 1; both are in the trace.
    """

    def __init__(self, first: int, last: int):
        if not 1 <= first <= last:
            raise UserError(f"--profile takes FIRST-LAST, steps from 1, not {first}-{last}")
        self.first, self.last = first, last
        self.written: Path | None = None
        self._running = False

    @classmethod
    def parse(cls, text: str) -> "Profile":
        """From FIRST-LAST. Raises `UserError` for anything else."""
        if not (match := re.fullmatch(r"(\d{1,10})-(\d{1,10})", text)):
            raise UserError(f"--profile takes FIRST-LAST, such as 11-15, not {text!r}")
        return cls(*map(int, match.groups()))

    def before(self, step: int, directory: Path, state: Any) -> None:
        """Begins, where `step` is the first; `state` is what is waited for."""
        if step == self.first and self.written is None:
            jax.block_until_ready(state)
            self.written, self._running = directory / FOLDER, True
            jax.profiler.start_trace(str(self.written), create_perfetto_trace=True)

    def after(self, step: int, state: Any) -> None:
        """Ends, where `step` was the last."""
        if self._running and step == self.last:
            jax.block_until_ready(state)
            self.close()

    def close(self) -> None:
        """Ends, where the run does before the last step."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
