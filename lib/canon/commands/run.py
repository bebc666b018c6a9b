"""`launch.py run`: what a user types. What it does is in `conduct`, which is imported when there is something to do."""

import argparse
import dataclasses
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from canon.commands import arguments as command_line
from canon.errors import UserError

if TYPE_CHECKING:
    from canon.cluster import Resources

DESCRIPTION = """Trains every run of an experiment (each arm with each seed), and judges its claims.

    launch.py run plain_vs_residual
    launch.py run plain_vs_residual:cifar10 --config.seeds=5 --config.train.steps=4000
    launch.py run --config=experiments/plain_vs_residual.py:cifar10 --workdir=/data/study

The same command again goes on where it stopped: runs that have ended are not trained again. Every field of the config
can be set by --config.FIELD=VALUE; WORKDIR/study.json and the report show all of them.

To train in several processes, each with its own devices, give all of them the same command, and say which is which:

    launch.py run plain_vs_residual --coordinator=HOST:PORT --num_processes=2 --process_id=0

Under SLURM's srun, Open MPI and on TPU pods they find each other by themselves, as JAX does; elsewhere JAX may know
with --coordinator=auto. --num_processes=1 alone says that this process is on its own.

To spread the runs over a cluster, one job for each; this process waits for them and judges:

    launch.py run plain_vs_residual --executor=slurm --partition=gpu --gpus=1 --time_limit=240

A job whose time is up, or whose place is wanted, is saved and queued again. Ctrl-C leaves the jobs to themselves, and
the same command waits for them again.
"""


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    rest, overrides = command_line.split_overrides(arguments)
    parser = command_line.Parser("run", DESCRIPTION, takes_config=True)
    parser.add_argument("experiment", nargs="?", metavar="NAME[:ARGUMENT]", help="see launch.py list")
    parser.add_argument("--config", metavar="FILE[:ARGUMENT]", help="an experiment file, in place of a name")
    parser.add_argument("--workdir", help="where everything goes (default: runs/NAME-ARGUMENT)")
    parser.add_argument("--arms", metavar="ARM,ARM", help="train these arms only; the verdict is of all that is there")
    parser.add_argument("--profile", metavar="FIRST-LAST", help="trace these steps of the first run that takes them")
    parser.add_argument("--max_minutes", type=float, help="stop by itself after so long, with everything saved")
    parser.add_argument("--debug_nans", action="store_true", help="say which operation a diverged run was lost by")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="train in several processes: where process 0 is")
    parser.add_argument("--process_id", type=int, help="which of them this is, from 0")
    parser.add_argument("--num_processes", type=int, help="how many they are")
    parser.add_argument("--join_timeout", type=float, default=300.0, help="seconds in which all have to come (300)")
    jobs = parser.add_argument_group("jobs")
    jobs.add_argument("--executor", metavar="slurm|local", help="train in jobs of a cluster, or in processes here")
    jobs.add_argument("--at_once", type=int, help="how many jobs at a time (slurm: as many as can; local: 1)")
    jobs.add_argument(
        "--time_limit", type=float, dest="minutes", help="minutes until a job of SLURM is queued again (240)"
    )
    jobs.add_argument("--gpus", type=int, help="of each node of a job")
    jobs.add_argument("--partition", help="of SLURM")
    jobs.add_argument("--nodes", type=int, help="of each job, one process on each (1)")
    jobs.add_argument("--cpus", type=int, help="of each node")
    jobs.add_argument("--memory", type=float, help="GB of each node")
    jobs.add_argument("--sbatch", metavar="NAME=VALUE", action="append", help="another option of sbatch: account=mine")
    options = parser.parse_args(rest)
    resources = _resources(options)
    experiment = command_line.choose_experiment("run", options.experiment, options.config, experiments)
    if options.workdir == "":
        raise UserError("--workdir needs the name of a folder")
    workdir = Path(options.workdir) if options.workdir else None
    typed = options.experiment or f"--config={options.config}"

    from canon.commands.conduct import conduct
    from canon.hosts import AUTO, Place
    from canon.training.profile import Profile

    given = options.coordinator, options.process_id, options.num_processes
    if given == (AUTO, None, None) or given == (None, None, 1):
        given = AUTO if given[0] else "localhost:1", 0, 1
    if None in given and given != (None, None, None):
        raise UserError("--coordinator, --process_id and --num_processes go together: give all of them, or none")
    place = None if given[0] is None else Place(*given, options.join_timeout)
    profile = None if options.profile is None else Profile.parse(options.profile)
    minutes = math.inf if options.max_minutes is None else options.max_minutes
    if not minutes > 0:
        raise UserError(f"--max_minutes must be above 0, not {minutes}")
    return conduct(
        experiment, typed, overrides, workdir, options.arms, place, profile, resources, minutes, options.debug_nans
    )


def _resources(options: argparse.Namespace) -> "Resources | None":
    """What the jobs ask for, where there are to be any."""
    from canon.cluster import Resources

    fields = [field.name for field in dataclasses.fields(Resources)]
    given = {name: value for name in fields if (value := getattr(options, name)) is not None}
    if not given:
        return None
    if options.executor is None:
        flag = {"minutes": "time_limit"}.get(next(iter(given)), next(iter(given)))
        raise UserError(f"--{flag} goes with --executor=slurm or --executor=local")
    for flag in ("coordinator", "profile", "max_minutes", "debug_nans"):
        if getattr(options, flag) not in (None, False):
            instead = "; give the jobs a --time_limit" if flag == "max_minutes" else ""
            raise UserError(f"--{flag} does not go with --executor: the runs are trained elsewhere{instead}")
    if "sbatch" in given:
        words = [text.lstrip("-").partition("=") for text in given["sbatch"]]
        if bad := [name for name, _, _ in words if not _SBATCH_NAME.fullmatch(name)]:
            raise UserError(f"--sbatch takes NAME=VALUE, not {bad[0]!r}")
        given["sbatch"] = {name: value if equals else True for name, equals, value in words}
    return Resources(**given)


_SBATCH_NAME = re.compile(r"[a-z][a-z-]+")
