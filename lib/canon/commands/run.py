"""`launch.py run`: from an experiment's name to its verdict."""

import shlex
from pathlib import Path

from ml_collections import ConfigDict

from canon import config as canon_config
from canon import models
from canon.commands import arguments as command_line
from canon.commands import runtime
from canon.commands.progress import Progress
from canon.commands.report import announce
from canon.commands.signals import StopSignals
from canon.errors import UserError
from canon.study import plan, report, runner, workdir
from canon.training.loop import Interrupted

DESCRIPTION = """Trains every run of an experiment (each arm with each seed), and judges its claims.

    launch.py run plain_vs_residual
    launch.py run plain_vs_residual:cifar10 --config.seeds=5 --config.train.steps=4000
    launch.py run --config=experiments/plain_vs_residual.py:cifar10 --workdir=/data/study

The same command again goes on where it stopped: runs that have ended are not trained again. Every field of the config
can be set by --config.FIELD=VALUE; WORKDIR/study.json and the report show all of them.
"""


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    rest, overrides = command_line.split_overrides(arguments)
    parser = command_line.Parser("run", DESCRIPTION)
    parser.add_argument("experiment", nargs="?", metavar="NAME[:ARGUMENT]", help="see launch.py list")
    parser.add_argument("--config", metavar="FILE[:ARGUMENT]", help="an experiment file, in place of a name")
    parser.add_argument("--workdir", type=Path, help="where everything goes (default: runs/NAME-ARGUMENT)")
    parser.add_argument("--arms", metavar="ARM,ARM", help="train these arms only; the verdict is of all that is there")
    options = parser.parse_args(rest)
    if (options.experiment is None) == (options.config is None):
        raise UserError("run takes an experiment's name or --config=FILE, one of the two (see launch.py list)")
    experiment = (
        command_line.find_experiment(options.experiment, experiments)
        if options.experiment
        else command_line.experiment_file(options.config)
    )

    config = configure(experiment, overrides)
    directory = options.workdir or Path("runs") / "-".join(filter(None, [experiment.name, experiment.argument]))
    runs = plan.runs(config, directory)
    chosen = _choose(options.arms, config)
    workdir.check(directory, config)
    runtime.start()
    programs = runner.build_programs(config)

    protocol = None
    if config.protocol:
        protocol = plan.complete(canon_config.load(experiment.path, config.protocol))
    typed = ["launch.py", "run", options.experiment or f"--config={options.config}"]
    command = shlex.join(typed + [f"--config.{key}={text}" for key, text in overrides])
    study = workdir.Study(experiment.name, experiment.argument, config, protocol, command)
    workdir.create(directory, study)

    runs = [run for run in runs if run.arm in chosen]
    print(config.title or experiment.name)
    print(f"{len(chosen)} arms × {config.seeds} seeds = {len(runs)} runs, in {directory}")
    with StopSignals() as stop_signals:
        try:
            with Progress(runs) as progress:
                runner.run(runs, programs, progress, should_stop=stop_signals)
        except Interrupted as interruption:
            print(f"{interruption} and saved; the same command goes on from there")
            return 128 + stop_signals.number
    announce(report.write(study, directory), directory)
    return 0


def configure(experiment: command_line.Experiment, overrides: list[tuple[str, str]]) -> ConfigDict:
    """The experiment's config, complete, with the overrides of the command line, and checked as far as it can be alone.

    Raises:
      UserError: the experiment or a field does not exist, or a value does not fit.
    """
    config = plan.complete(canon_config.load(experiment.path, experiment.argument))
    for key, text in sorted(overrides, key=lambda override: not override[0].endswith(".name")):
        config = plan.override(config, key, text)
    models.create(**config.model)
    plan.check_claims(config)
    wanted = canon_config.flatten(config)
    arms = [canon_config.flatten(arm) for arm in plan.arm_configs(config).values()]
    for key, _ in overrides:
        is_of_runs = any(key in arm for arm in arms) or key.partition(".")[0] in plan.NAMED_SECTIONS
        if is_of_runs and not any(key in arm and arm[key] == wanted[key] for arm in arms):
            raise UserError(
                f"--config.{key} would have no effect, because every arm sets it; "
                f"set it for an arm: --config.arms.{next(iter(config.arms))}.{key}=VALUE"
            )
    return config


def _choose(text: str | None, config: ConfigDict) -> list[str]:
    """The arms to train now."""
    chosen = list(config.arms) if text is None else [arm.strip() for arm in text.split(",")]
    for arm in chosen:
        plan.check_arm(config, arm)
    return chosen
