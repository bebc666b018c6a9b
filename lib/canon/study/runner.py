"""Training the runs of a study, one after another."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from ml_collections import ConfigDict

from canon.study import plan, workdir
from canon.study.plan import Run
from canon.training import loop, program
from canon.training.program import Program
from canon.training.result import Result, read_result


class StudyObserver(loop.Observer, Protocol):
    """Someone who watches a study: told which run begins and how it ended, and of what happens in between."""

    def run_began(self, run: Run) -> None: ...

    def run_ended(self, run: Run, result: Result) -> None: ...


def build_programs(config: ConfigDict, arms: Collection[str] | None = None) -> dict[str, Program]:
    """The programs of `arms`, or of all. Reads data, compiles and writes nothing.

    Raises:
      UserError: something in the config does not exist or does not fit.
    """
    configs = plan.arm_configs(config)
    return {arm: program.build(own) for arm, own in configs.items() if arms is None or arm in arms}


def run(
    runs: Sequence[Run],
    programs: dict[str, Program],
    observer: StudyObserver,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Trains `runs` in their order; those that have ended are only read.

    Args:
      runs: see `plan.runs`.
      programs: by arm, see `build_programs`. Runs of one arm share its compiled steps.
      observer: told of all that happens.
      should_stop: asked after every step.

    Raises:
      loop.Interrupted: `should_stop` said yes; the run that was under way is saved.
    """
    for run in runs:
        observer.run_began(run)
        result = read_result(run.directory)
        if result is None:
            workdir.write_run_config(run.directory, run.arm, run.seed, programs[run.arm].config)
            result = loop.train(programs[run.arm], run.seed, run.directory, observer, should_stop)
        observer.run_ended(run, result)
        if should_stop() and run is not runs[-1]:
            raise loop.Interrupted(result.step)
