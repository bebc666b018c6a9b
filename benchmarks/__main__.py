"""The same work here and in PyTorch, side by side: one command, one table of ratios.

    python -m benchmarks [WORK ...] [--rounds=5] [--seconds=5] [--settle=15] [--threads=N] [--pytorch=PYTHON]
                         [--name=NAME]

The two sides take turns, each time in a fresh process and on the same number of cores: in every round canon first,
then PyTorch, and the next round the other way round. A ratio is that of two neighbours; what is printed is the
geometric mean of the rounds' ratios with its 95% interval (Student's t of their logarithms), and medians of the
seconds. Compiling, which is in the first step, is timed apart, and each process works for some seconds before it is
measured, so that neither finds a rested processor. The table also goes to benchmarks/results/NAME.json; rows that are
there already stay unless they are measured again, and a table of another machine or of other versions is not touched.

`benchmarks.work` says what each work is, `benchmarks.canon_side` and `benchmarks.pytorch_side` how each side does it.
`study` and the start-ups are whole processes, start to end; `startup_cold` and `study` find nothing compiled before,
`startup_warm` finds what a start-up before it has compiled. A round of everything takes half an hour on two cores.

PyTorch comes with the extra `torch`, pip install -e '.[torch]'; where it is installed beside another Python, name that
one with `--pytorch`.
"""

import argparse
import importlib.metadata
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scipy import stats

from benchmarks import work
from benchmarks.one_line import OneLine
from canon import files, huge_pages
from canon.errors import did_you_mean

ROOT = Path(__file__).resolve().parents[1]
MOST_SECONDS = 3600
COLUMNS = (
    f"{'':14}{'canon':>10}{'PyTorch':>10}{'ratio':>8}   {'95% interval':16}{'compiling':>10}{'floor':>10}{'memory':>16}"
)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def take_cores(threads: int) -> None:
    """Confines this process, and those that it starts, to so many cores."""
    if threads < cores():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def turn(python: str, side: str, name: str, options: argparse.Namespace, cache: str) -> dict[str, float]:
    """One process of one side: what it found, or the seconds of all of it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if name in ("startup_cold", "startup_warm", "study"):
        environment["JAX_COMPILATION_CACHE_DIR"] = cache
    environment.pop(huge_pages.VARIABLE, None)
    if side == "canon" and name != "study":  # as a launch does, and does in the study
        environment = huge_pages.environment(environment)
    numbers = map(str, (options.seconds, options.settle, options.threads))
    command = [python, "-m", f"benchmarks.{side}_side", name, *numbers]
    began = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"benchmarks: {side} took more than {MOST_SECONDS} s for a turn of {name}") from None
    seconds = time.perf_counter() - began
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"benchmarks: {side} could not run {name}: {last}")
    return {"seconds": seconds} | json.loads(done.stdout.splitlines()[-1])


def measure(name: str, options: argparse.Namespace) -> dict:
    """A row of the table: `rounds` turns of each side."""
    row = {"name": name, "date": time.strftime("%Y-%m-%d"), "commit": commit(), "rounds": options.rounds}
    found: dict[str, list[dict]] = {"canon": [], "pytorch": []}
    pythons = {"canon": sys.executable, "pytorch": options.pytorch}
    with tempfile.TemporaryDirectory() as scratch:
        if name == "startup_warm":
            for side, python in pythons.items():
                turn(python, side, name, options, scratch)
        for number in range(options.rounds):
            cache = scratch if name == "startup_warm" else f"{scratch}/{number}"
            for side in sorted(found, reverse=number % 2 == 1):
                found[side].append(turn(pythons[side], side, name, options, cache))
    ratios = [a["seconds"] / b["seconds"] for a, b in zip(*found.values(), strict=True)]
    row["huge_pages"] = huge_pages.environment({}) != {}
    if "first_seconds" in found["canon"][0]:
        row |= {"turn_seconds": options.seconds, "settle_seconds": options.settle}
    for side, turns in found.items():
        row[f"{side}_seconds"] = statistics.median(t["seconds"] for t in turns)
        row[f"{side}_peak_bytes"] = max(t["peak_bytes"] for t in turns)
        if "first_seconds" in turns[0]:
            row[f"{side}_first_seconds"] = statistics.median(t["first_seconds"] for t in turns)
    row["ratios"] = ratios
    row["ratio"], row["ratio_interval"] = interval(ratios)
    ours = found["canon"]
    if "multiply_adds" in ours[0]:
        row["multiply_adds"] = ours[0]["multiply_adds"]
        row["floor_seconds"] = row["multiply_adds"] / max(t["multiply_adds_per_second"] for t in ours)
    return row


def interval(ratios: list[float]) -> tuple[float, list[float] | None]:
    """The geometric mean, and its 95% interval by Student's t of the logarithms; None for one ratio alone."""
    logs = [math.log(ratio) for ratio in ratios]
    middle = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(middle), None
    margin = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
    return math.exp(middle), [math.exp(middle - margin), math.exp(middle + margin)]


def line(row: dict) -> str:
    """A row as it is printed."""
    low_high = "{:.2f} to {:.2f}".format(*row["ratio_interval"]) if row["ratio_interval"] else "one round"
    memory = "{:.2f}, {:.2f} GB".format(*(row[f"{side}_peak_bytes"] / 1e9 for side in ("canon", "pytorch")))
    return (
        f"{row['name']:14}{readable(row['canon_seconds']):>10}{readable(row['pytorch_seconds']):>10}"
        f"{row['ratio']:8.2f}   {low_high:16}{readable(row.get('canon_first_seconds')):>10}"
        f"{readable(row.get('floor_seconds')):>10}{memory:>16}"
    )


def readable(seconds: float | None) -> str:
    """Seconds, or milliseconds where they are few."""
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1e3 * seconds:.1f} ms"


def hardware() -> str:
    """What Linux knows of the processor, whose name alone can stand for several, and how many cores there are."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    kind = f" (family {said['cpu family']}, model {said['model']})" if {"cpu family", "model"} <= said.keys() else ""
    return f"{said.get('model name', platform.machine())}{kind}, {cores()} cores"


def commit() -> str | None:
    """That of the code which is measured, with a + where files differ from it; None outside of a repository."""
    try:
        found = subprocess.run(("git", "rev-parse", "--short", "HEAD"), cwd=ROOT, capture_output=True, text=True)
        code = ("git", "status", "--porcelain", "--", ".", ":!benchmarks/results")
        differs = subprocess.run(code, cwd=ROOT, capture_output=True).stdout
    except OSError:
        return None
    return None if found.returncode else found.stdout.strip() + ("+" if differs else "")


def versions(pytorch: str) -> dict[str, str]:
    """Of Python and of the libraries that compute. Raises `ValueError` where `pytorch` has no PyTorch."""
    command = [pytorch, "-c", "import torch; print(torch.__version__)"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(f"{pytorch} has no PyTorch: pip install -e '.[torch]', or name one with --pytorch") from None
    found = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")}
    return {"python": platform.python_version(), **found, "torch": asked.stdout.strip()}


def main() -> int:
    """Prints the table, and writes it."""
    parser = OneLine(prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"of {', '.join(work.ALL)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="how often the two sides take turns")
    parser.add_argument("--seconds", type=float, default=5.0, help="of steps in each turn")
    parser.add_argument("--settle", type=float, default=15.0, help="seconds of work in each process before that")
    parser.add_argument("--threads", type=int, default=cores(), help="cores for each side")
    parser.add_argument("--pytorch", default=sys.executable, metavar="PYTHON", help="the Python that has PyTorch")
    parser.add_argument("--name", default="", help="of the file in benchmarks/results (default: after jax's version)")
    options = parser.parse_args()
    if wrong := [name for name in options.works if name not in work.ALL]:
        parser.error(
            f"no work is called {wrong[0]!r}{did_you_mean(wrong[0], work.ALL)} (there are: {', '.join(work.ALL)})"
        )
    if options.rounds < 1 or not 0 < options.seconds < MOST_SECONDS or not 0 <= options.settle < MOST_SECONDS:
        parser.error(
            f"--rounds must be at least 1, --seconds above 0 and --settle at least 0, both below {MOST_SECONDS}"
        )
    if not 1 <= options.threads <= cores() or (options.threads < cores() and not hasattr(os, "sched_setaffinity")):
        parser.error(f"--threads must be between 1 and {cores()}, and all where cores cannot be taken by number")
    if options.name and not re.fullmatch(r"\w[\w.-]*", options.name):
        parser.error(f"--name is a file's name without its folder, not {options.name!r}")
    try:
        found = versions(options.pytorch)
    except ValueError as error:
        parser.error(str(error))
    table = {"hardware": f"{hardware()}, {options.threads} threads each side", "versions": found, "rows": []}
    take_cores(options.threads)
    path = ROOT / "benchmarks" / "results" / f"{options.name or 'jax-' + found['jax']}.json"
    path.parent.mkdir(exist_ok=True)
    try:
        before = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        parser.error(f"{path} is no table any more: move it away, or give this table a --name of its own")
    for key in ("hardware", "versions"):
        if before and before.get(key) != table[key]:
            parser.error(f"{path} has other {key}, {before.get(key)}: give this table a --name of its own")
    table["rows"] = before.get("rows", [])
    print(f"{table['hardware']}; jax {table['versions']['jax']}, PyTorch {table['versions']['torch']}\n{COLUMNS}")
    for name in options.works or work.ALL:
        row = measure(name, options)
        table["rows"] = [other for other in table["rows"] if other["name"] != name] + [row]
        print(line(row), flush=True)
        files.write(path, json.dumps(table, indent=1) + "\n")
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        print("benchmarks: stopped; rows that were printed are kept", file=sys.stderr)
        raise SystemExit(130) from None
