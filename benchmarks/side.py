"""What a side does in its own process: it takes a share of the cores, runs the work, and prints one line of JSON.

No library is imported here that starts threads: the share has to be taken before.
"""

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping

Run = Callable[[int], None]
"""Takes so many steps, and waits for the last."""


def take_cores(threads: int) -> None:
    """Confines this process, and the threads that its libraries start, to so many cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def measure(run: Run, seconds: float, turns: int = 5) -> dict[str, float]:
    """Seconds of a step, as the median over turns that take `seconds` together; those of the first step apart."""
    first = _timed(run, 1)
    steps = max(1, round(seconds / turns / _timed(run, 1)))
    return {"first_seconds": first, "seconds": statistics.median(_timed(run, steps) for _ in range(turns))}


def _timed(run: Run, steps: int) -> float:
    began = time.perf_counter()
    run(steps)
    return (time.perf_counter() - began) / steps


def main(sides: Mapping[str, Callable[[], Run]], whole: Mapping[str, Callable[[], None]], prepare: Callable) -> None:
    """The command `NAME SECONDS THREADS`.

    Args:
      sides: what makes each work's `Run`.
      whole: works that are run once, from the start of the process to its end; they are timed by who starts it.
      prepare: called first, with the number of threads.
    """
    name, seconds, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    take_cores(threads)
    prepare(threads)
    if name in whole:
        found = {}
        whole[name]()
    else:
        run = sides[name]()
        found = {} if run is None else {**measure(run, seconds), **getattr(run, "notes", {})}
    found["peak_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(found))
