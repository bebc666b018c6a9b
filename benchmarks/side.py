"""What a side does in its own process: it runs the work, and prints one line of JSON."""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping

Run = Callable[[int], None]
"""Takes so many steps, and waits for the last."""


def measure(run: Run, seconds: float, settle: float, turns: int = 5) -> dict[str, float]:
    """Seconds of a step, as the median over turns that take `seconds` together; those of the first step apart.

    Between the two it works for `settle` seconds: a processor that has rested is quicker for some seconds, which would
    favour the side that has less to compile.
    """
    first = _timed(run, 1)
    end = time.perf_counter() + settle
    while time.perf_counter() < end:
        run(1)
    steps = max(1, round(seconds / turns / _timed(run, 1)))
    return {"first_seconds": first, "seconds": statistics.median(_timed(run, steps) for _ in range(turns))}


def _timed(run: Run, steps: int) -> float:
    began = time.perf_counter()
    run(steps)
    return (time.perf_counter() - began) / steps


def main(sides: Mapping[str, Callable[[], Run]], whole: Mapping[str, Callable[[], None]], prepare: Callable) -> None:
    """The command `NAME SECONDS SETTLE THREADS`.

    Args:
      sides: what makes each work's `Run`.
      whole: works that are run once, from the start of the process to its end; they are timed by who starts it.
      prepare: called first, with the number of threads.
    """
    name, seconds, settle, threads = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    prepare(threads)
    if name in whole:
        found = {}
        whole[name]()
    else:
        run = sides[name]()
        found = measure(run, seconds, settle)
    of_all = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found["peak_bytes"] = max(of_all) * (1 if sys.platform == "darwin" else 1024)
    if name not in whole and hasattr(run, "notes"):
        found |= run.notes()
    print(json.dumps(found))
