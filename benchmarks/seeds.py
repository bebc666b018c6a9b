"""The seeds of an arm together against one after another, and one launch against many.

    python -m benchmarks.seeds [NAME ...] [--members=8] [--rounds=5]

For each network: milliseconds of a step of all members, by each way of `parallel.seeds`, in turns (medians over the
rounds); what compiling took; and what `auto` takes for a run of 1,000 steps and for one of 100,000. Then `launches`:
one launch of a study of an MLP with eight seeds against eight launches of one, start to verdict, each with programs
that were compiled before. And `study`: the whole default study in each way, start to verdict, with nothing compiled
before, in turns; so `auto` pays for its measuring too.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ml_collections import ConfigDict

from benchmarks.one_line import OneLine
from canon import config as canon_config
from canon.study import plan
from canon.training import program, strategy
from canon.training.strategy import Speed

WORK = {
    "mlp": {"model": {"name": "mlp", "hidden": (100,)}},
    "mlp_800": {"model": {"name": "mlp", "hidden": (800, 800)}},
    "lenet5": {"model": {"name": "lenet5_modern"}, "data": {"image_size": 28}},
    "plain20": {"model": {"name": "cifar_resnet", "depth": 20, "shortcut": "none"}},
    "lstm_128": {"task": "language_model", "model": {"name": "char_rnn", "features": 128}, "train": {"batch_size": 50}},
}
LAUNCHES = "launches"
STUDY = "study"
WAYS = ("sequential", "concurrent", "unroll", "vmap")

EXPERIMENT = """
from ml_collections import ConfigDict
from canon import config as canon_config

def get_config(argument=""):
    config = canon_config.default()
    config.model = ConfigDict({"name": "mlp", "hidden": (100,)})
    config.train.steps = 500
    config.arms = ConfigDict({"mlp": {}})
    return config
"""


def build(changes: dict) -> program.Program:
    """The program of a network on data that needs no download."""
    config = canon_config.default()
    with config.unlocked():
        config.task = changes.get("task", config.task)
        if config.task == "language_model":
            config.data.source = "python_source"
        config.model = ConfigDict(changes["model"])
        for section in ("data", "train"):
            config[section].update(changes.get(section, {}))
        config.arms = ConfigDict({"only": {}})
    return program.build(plan.arm_configs(plan.complete(config))["only"])


def speeds(built: program.Program, members: int, rounds: int) -> dict[str, Speed]:
    """Of each way, in turns."""
    found: dict[str, list[Speed]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            found[way].append(strategy.measure([built] * members, way))
    return {
        way: Speed(of_way[0].compile, statistics.median(speed.step for speed in of_way))
        for way, of_way in found.items()
    }


def launches(members: int) -> tuple[float, float]:
    """Seconds of one launch with all seeds, and of as many launches with one."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "study.py").write_text(EXPERIMENT)
        launch = Path(__file__).parents[1] / "launch.py"
        environment = os.environ | {"XDG_CACHE_HOME": folder}

        def run(name: str, *options: str) -> float:
            line = [sys.executable, str(launch), "run", "--config=study.py", f"--workdir={name}", *options]
            began = time.perf_counter()
            subprocess.run(line, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - began

        one = f"--config.seeds={members}", "--config.parallel.seeds=auto"
        run("warm", *one)
        run("warm-single", "--config.seeds=1")
        together = run("together", *one)
        return together, sum(run(f"single-{i}", "--config.seeds=1") for i in range(members))


def study(rounds: int) -> dict[str, float]:
    """Seconds of the default study in each way: medians over the rounds."""
    found: dict[str, list[float]] = {way: [] for way in (*WAYS, "auto")}
    launch = Path(__file__).parents[1] / "launch.py"
    for _ in range(rounds):
        for way, seconds in found.items():
            with tempfile.TemporaryDirectory() as folder:
                line = [sys.executable, str(launch), "run", "plain_vs_residual", f"--workdir={folder}/study"]
                began = time.perf_counter()
                subprocess.run(
                    [*line, f"--config.parallel.seeds={way}"],
                    env=os.environ | {"XDG_CACHE_HOME": folder},
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                seconds.append(time.perf_counter() - began)
                print(f"{STUDY:10}{way:>12}{seconds[-1]:9.1f} s", flush=True)
    return {way: statistics.median(seconds) for way, seconds in found.items()}


def main() -> int:
    """Prints the table."""
    parser = OneLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join((*WORK, LAUNCHES, STUDY))} (default: all)"
    )
    parser.add_argument("--members", type=int, default=8, help="how many seeds")
    parser.add_argument("--rounds", type=int, default=5, help="how often the ways take turns")
    options = parser.parse_args()
    known = (*WORK, LAUNCHES, STUDY)
    names = options.names or known
    if wrong := [name for name in names if name not in known]:
        parser.error(f"no work is called {wrong[0]!r} (there are: {', '.join(known)})")
    print(f"{options.members} seeds   " + "".join(f"{way:>22}" for way in WAYS) + "   auto, 1,000 and 100,000 steps")
    for name in [name for name in names if name in WORK]:
        found = speeds(build(WORK[name]), options.members, options.rounds)
        chosen = [strategy.fastest(found.__getitem__, options.members, steps)[0] for steps in (1_000, 100_000)]
        cells = "".join(f"{1e3 * found[w].step:9.1f} ms +{found[w].compile:6.1f} s" for w in WAYS)
        print(f"{name:10}{cells}   {', '.join(chosen)}", flush=True)
    if LAUNCHES in names:
        together, single = launches(options.members)
        print(f"{LAUNCHES:10}{together:9.1f} s together, {single:.1f} s one by one: {together / single:.2f}")
    if STUDY in names:
        seconds = study(options.rounds)
        best = min(seconds[way] for way in WAYS)
        print(f"{STUDY:10}auto takes {seconds['auto'] / best:.2f} of the best way's time")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
