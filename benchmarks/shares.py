"""Where the time of a whole study goes, from the first import to the verdict.

    python -m benchmarks.shares [plain_vs_residual] [--config.FIELD=VALUE ...]

It runs `launch.py run` with these words (`plain_vs_residual`, if no experiment is named) in this process, with nothing
compiled before and in a folder that is gone afterwards, and counts each moment for what goes on at it: the innermost of
what is timed here. So the shares add up to the whole. While steps are computed something else may be counted: see
`LEAST`.
"""

import collections
import contextlib
import functools
import io
import itertools
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from canon import huge_pages

_BEGAN = time.perf_counter()

OF_JAX = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
    "/jax/core/compile/backend_compile_duration": "compiling",
}
"""What JAX says of itself when it is over, by the name that it has here."""

Interval = tuple[float, float, str]
"""From, to, and what."""


LEAST = ("checkpoints", "first step", "steps", "rest of a run", "rest")
"""While one thread does something else, this is not what the others are counted for: runs that are trained together are
in threads of their own, and wait in their steps for each other, for what is compiled, and for the disk."""


class Timeline:
    """What goes on in each thread, and when."""

    def __init__(self):
        self._intervals: dict[int, list[Interval]] = collections.defaultdict(list)

    def ended(self, name: str, seconds: float) -> None:
        """Something that took so long in this thread is over."""
        now = time.perf_counter()
        self._intervals[threading.get_ident()].append((now - seconds, now, name))

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
        """Seconds by name; each moment is counted once, and what nothing is timed at for `rest`."""
        threads = [[(began, ended, "rest")], *self._intervals.values()]
        return merged([innermost(intervals) for intervals in threads])


def innermost(intervals: Iterable[Interval]) -> list[Interval]:
    """Of nested intervals those that follow each other, in order: each moment has the name of that which began last."""
    found: list[Interval] = []
    around: list[Interval] = []
    now = -math.inf

    def until(moment: float) -> None:
        nonlocal now
        while around:
            end = min(around[-1][1], moment)
            if end > now:
                found.append((now, end, around[-1][2]))
                now = end
            if around[-1][1] > moment:
                break
            around.pop()
        now = moment

    for interval in sorted(intervals, key=lambda i: (i[0], -i[1])):
        until(interval[0])
        around.append(interval)
    until(math.inf)
    return found


def merged(threads: list[list[Interval]]) -> dict[str, float]:
    """Seconds by name of several threads' intervals: each moment counts once, if it can for what JAX does, and for what
    is in `LEAST` only if nothing else goes on."""
    seconds: collections.Counter[str] = collections.Counter()
    changes = sorted((at, is_begin, name) for t in threads for a, b, name in t for at, is_begin in ((a, 1), (b, 0)))
    on: collections.Counter[str] = collections.Counter()
    for (at, is_begin, name), (following, *_) in itertools.pairwise(changes):
        on[name] += 1 if is_begin else -1
        names = [name for name, count in on.items() if count]
        if names and following > at:
            seconds[min(names, key=_rank)] += following - at
    return dict(seconds)


def _rank(name: str) -> tuple[int, bool, str]:
    return name in LEAST and 1 + LEAST.index(name), name not in OF_JAX.values(), name


OF_LOOP = {"compile": "first step", "step": "steps", "evaluate": "evaluations", "save": "checkpoints"}
"""What `canon.training.stopwatch` times, likewise; a first step is compiled, which JAX tells of."""


def run(arguments: list[str]) -> tuple[dict[str, float], float]:
    """Seconds by what they were spent on, and those of the whole."""
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

    def of(self: Stopwatch, part: str, of=Stopwatch.of) -> contextlib.ExitStack:
        entered = contextlib.ExitStack()
        entered.enter_context(timeline.of(OF_LOOP.get(part, part)))
        entered.enter_context(of(self, part))
        return entered

    jax.monitoring.register_event_duration_secs_listener(over)
    program.build = timeline.timed("building programs", program.build)
    report.write = timeline.timed("judging and reporting", report.write)
    loop.train = timeline.timed("rest of a run", loop.train)
    Stopwatch.of = of
    for method in ("__init__", "__exit__", "wait"):
        setattr(Checkpoints, method, timeline.timed("checkpoints", getattr(Checkpoints, method)))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder + "/cache"
        jax.config.update("jax_compilation_cache_dir", folder + "/cache")
        with contextlib.redirect_stdout(io.StringIO()):
            status = launch.main(["run", *arguments, f"--workdir={folder}/run"])
        ended = time.perf_counter()
    if status:
        raise SystemExit(status)
    return timeline.shares(_BEGAN, ended), ended - _BEGAN


def main() -> None:
    """Prints the table."""
    arguments = sys.argv[1:]
    if all(word.startswith("--config.") for word in arguments):
        arguments = ["plain_vs_residual", *arguments]
    if "--help" in arguments or "-h" in arguments:
        print(__doc__)
        return
    seconds, whole = run(arguments)
    for name, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{name:24} {spent:8.1f} s {spent / whole:7.1%}")
    print(f"{'whole':24} {whole:8.1f} s")


if __name__ == "__main__":
    huge_pages.restart()
    main()
