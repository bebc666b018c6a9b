"""Compiling a network while its first state is made, and what is trained next while something else is trained.

Where a CPU has several cores, compiling a network keeps one and a half of them busy, tracing it and making its first
state one, and the steps of a small network leave some idle too.
"""

import contextlib
import threading
from collections.abc import Callable

import jax

from canon.training import parallel
from canon.training.program import Program


def is_possible(program: Program) -> bool:
    """Whether the program is for one CPU of one process, and its runs take its own train step.

    What is compiled for an accelerator may be tried out on it, in the memory that somebody else trains in. On several
    devices nothing runs beside anything else: see `parallel.is_concurrent`.
    """
    config = program.config.parallel
    takes_its_own = config.seeds in ("sequential", "concurrent")
    on_cpu = program.mesh.devices.flat[0].platform == "cpu"
    return takes_its_own and on_cpu and jax.process_count() == 1 and parallel.is_concurrent(config, program.mesh)


THREAD = "compiling ahead"
"""The name of the thread. Python does not end before it; whoever does not want to wait ends the process."""


class Ahead:
    """Compiles programs in a thread of its own, one at a time.

    It is a context, at whose end it waits for that thread, unless something went wrong: then no other is begun.
    """

    def __init__(self):
        self._thread: threading.Thread | None = None
        self._is_over = False

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over = error[0] is not None
        if not self._is_over:
            self.wait()

    def begin(self, *programs: Program) -> None:
        """Begins with these programs, one after another, after those before."""
        self.wait()
        if programs:
            self._thread = threading.Thread(target=self._compile, args=programs, name=THREAD)
            self._thread.start()

    def wait(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Returns when what was begun is compiled, or soon after `should_stop` says yes."""
        while self._thread is not None and not should_stop():
            self._thread.join(0.1)
            if not self._thread.is_alive():
                self._thread = None

    def _compile(self, *programs: Program) -> None:
        for program in programs:
            if self._is_over:
                return
            with contextlib.suppress(Exception):  # whoever trains it meets the same, and can say which run it is of
                program.compile()
