"""Where the time of a whole study goes, from the start of the process to the verdict.

    python -m benchmarks.shares [EXPERIMENT] [--config.FIELD=VALUE ...]

It runs `launch.py run EXPERIMENT` (`plain_vs_residual`, if nothing is said) in this process, with nothing compiled
before and in a folder that is gone afterwards, and counts each moment for what goes on at it: the innermost of what is
timed here. So the shares add up to the whole.
"""

import time

_BEGAN = time.perf_counter()

import collections  # noqa: E402
import contextlib  # noqa: E402
import functools  # noqa: E402
import io  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402

from canon import huge_pages  # noqa: E402

OF_JAX = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
    "/jax/core/compile/backend_compile_duration": "compiling",
}
"""What JAX says of itself when it is over, by the name that it has here."""

Interval = tuple[float, float, str]
"""From, to, and what."""


class Timeline:
    """What went on in this thread, and when."""

    def __init__(self):
        self._thread = threading.get_ident()
        self._intervals: list[Interval] = []

    def ended(self, name: str, seconds: float) -> None:
        """Something that took so long is over."""
        if threading.get_ident() == self._thread:
            now = time.perf_counter()
            self._intervals.append((now - seconds, now, name))

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Counts what happens within."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.ended(name, time.perf_counter() - began)

    def timed(self, name: str, function: Callable) -> Callable:
        """The function, timed."""

        @functools.wraps(function)
        def timed(*args, **kwargs):
            with self.of(name):
                return function(*args, **kwargs)

        return timed

    def shares(self, began: float, ended: float) -> dict[str, float]:
        """Seconds by name, each moment counted for the innermost interval that it is in, the rest for `rest`."""
        return innermost([(began, ended, "rest"), *self._intervals])


def innermost(intervals: list[Interval]) -> dict[str, float]:
    """Seconds by name of nested intervals: each moment counts for that which began last."""
    seconds: collections.Counter[str] = collections.Counter()
    open_intervals: list[Interval] = []
    before = 0.0

    def until(moment: float) -> None:
        nonlocal before
        while open_intervals and open_intervals[-1][1] <= moment:
            _, end, name = open_intervals.pop()
            seconds[name] += max(0.0, end - before)
            before = max(before, end)
        if open_intervals:
            seconds[open_intervals[-1][2]] += max(0.0, moment - before)
        before = max(before, moment)

    for interval in sorted(intervals, key=lambda i: (i[0], -i[1])):
        until(interval[0])
        open_intervals.append(interval)
    until(float("inf"))
    return dict(seconds)


def run(arguments: list[str]) -> dict[str, float]:
    """Seconds by what they were spent on."""
    timeline = Timeline()
    with timeline.of("importing"):
        import jax

        import launch
        from canon.commands import conduct, run  # noqa: F401  what a launch imports
        from canon.study import report
        from canon.training import loop, program
        from canon.training.checkpoint import Checkpoints
        from canon.training.stopwatch import Stopwatch

    def over(event: str, seconds: float, **_) -> None:
        if event in OF_JAX:
            timeline.ended(OF_JAX[event], seconds)

    jax.monitoring.register_event_duration_secs_listener(over)
    program.build = timeline.timed("building programs", program.build)
    report.write = timeline.timed("judging and reporting", report.write)
    loop.train = timeline.timed("rest of a run", loop.train)
    Checkpoints.__init__ = timeline.timed("checkpoints", Checkpoints.__init__)
    Checkpoints.__exit__ = timeline.timed("checkpoints", Checkpoints.__exit__)
    of, names = Stopwatch.of, {"compile": "first step", "step": "steps", "evaluate": "evaluations", "save": "checkpoints"}

    @contextlib.contextmanager
    def of_part(self, part: str):
        with timeline.of(names.get(part, part)), of(self, part):
            yield

    Stopwatch.of = of_part
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder + "/cache"
        jax.config.update("jax_compilation_cache_dir", folder + "/cache")
        with contextlib.redirect_stdout(io.StringIO()):
            status = launch.main(["run", *arguments, f"--workdir={folder}/run"])
        ended = time.perf_counter()
    if status:
        raise SystemExit(status)
    return timeline.shares(_BEGAN, ended)


def main() -> None:
    """Prints the table."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-"):
        arguments = ["plain_vs_residual", *arguments]
    if "--help" in arguments or "-h" in arguments:
        print(__doc__)
        return
    seconds = run(arguments)
    whole = sum(seconds.values())
    for name, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{name:24} {spent:8.1f} s {spent / whole:7.1%}")
    print(f"{'whole':24} {whole:8.1f} s")


if __name__ == "__main__":
    huge_pages.restart()
    main()
