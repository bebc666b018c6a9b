"""Stopping on a signal: at the end of a step, with everything saved."""

import signal
import sys
from types import FrameType


class StopSignals:
    """While it is entered, the first SIGINT or SIGTERM asks the run to stop and a second SIGINT stops at once.

    Called, it says whether a signal came; `number` is that signal's, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, object] = {}

    def __call__(self) -> bool:
        return self.number is not None

    def __enter__(self) -> "StopSignals":
        self._before = {n: signal.signal(n, self._receive) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
        print(
            "canon: stopping after the step or evaluation under way; Ctrl-C again to stop at once, unsaved",
            file=sys.stderr,
        )
