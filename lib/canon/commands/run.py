"""`launch.py run`: what a user types. What it does is in `conduct`, which is imported when there is something to do."""

from pathlib import Path

from canon.commands import arguments as command_line
from canon.errors import UserError

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
"""


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    rest, overrides = command_line.split_overrides(arguments)
    parser = command_line.Parser("run", DESCRIPTION)
    parser.add_argument("experiment", nargs="?", metavar="NAME[:ARGUMENT]", help="see launch.py list")
    parser.add_argument("--config", metavar="FILE[:ARGUMENT]", help="an experiment file, in place of a name")
    parser.add_argument("--workdir", help="where everything goes (default: runs/NAME-ARGUMENT)")
    parser.add_argument("--arms", metavar="ARM,ARM", help="train these arms only; the verdict is of all that is there")
    parser.add_argument("--profile", metavar="FIRST-LAST", help="trace these steps of the first run that takes them")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="train in several processes: where process 0 is")
    parser.add_argument("--process_id", type=int, help="which of them this is, from 0")
    parser.add_argument("--num_processes", type=int, help="how many they are")
    parser.add_argument("--join_timeout", type=float, default=300.0, help="seconds in which all have to come (300)")
    options = parser.parse_args(rest)
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
    return conduct(experiment, typed, overrides, workdir, options.arms, place, profile)
