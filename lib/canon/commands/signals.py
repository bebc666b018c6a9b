"""Stopping on a signal: at the end of a step, with everything saved."""

import signal
import sys
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")  # Windows has the first two

STOPPING = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""From a terminal, from whoever ends processes, and as clusters say that a job's time is up or its place wanted."""

STOPPING_AFTER_THIS_STEP = (
    "stopping after what is under way (compiling, a step, an evaluation); Ctrl-C again to stop at once, unsaved"
)


class StopSignals:
    """While it is entered, the first of the signals asks the run to stop, and a second SIGINT stops at once.

    Called, it says whether a signal came; `number` is that signal's, or None.

    Args:
      answer: what to say to the first one.
    """

    def __init__(self, answer: str = STOPPING_AFTER_THIS_STEP) -> None:
        self._answer = answer
        self.number: int | None = None
        self._before: dict[int, object] = {}

    def __call__(self) -> bool:
        return self.number is not None

    def __enter__(self) -> "StopSignals":
        self._before = {n: signal.signal(n, self._receive) for n in STOPPING}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            print(f"canon: {self._answer}", file=sys.stderr)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
