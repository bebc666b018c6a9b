"""Compiling a network while its first state is made, and what is trained next while something else is trained.

Where a CPU has several cores, compiling a network keeps one and a half of them busy, tracing it and making its first
state one, and the steps of a small network leave some idle too.
"""

import contextlib
import threading

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

    It is a context, at whose end it waits for that thread, unless something went wrong.
    """

    def __init__(self):
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.wait()

    def begin(self, *programs: Program) -> None:
        """Begins with these programs, one after another, after those before."""
        self.wait()
        self._thread = threading.Thread(target=_compile, args=programs, name=THREAD)
        self._thread.start()

    def wait(self) -> None:
        """Returns when what was begun is compiled."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None


def _compile(*programs: Program) -> None:
    for program in programs:
        with contextlib.suppress(Exception):  # whoever trains it meets the same, and can say which run it is of
            program.compile()
