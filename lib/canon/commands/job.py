"""What a job of a study does, in a process of its own: some of the runs, from where they stand to their end."""

import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon import hosts
from canon.commands import runtime
from canon.commands.progress import Progress
from canon.commands.signals import StopSignals
from canon.errors import UserError, outcome
from canon.study import plan, runner, workdir
from canon.training.loop import Interrupted

_MOST_GRACE_SECONDS = 900.0


@dataclass(frozen=True)
class TrainingJob:
    """Trains some runs of the study in a workdir. Called in each process of the job; submitit calls `checkpoint`.

    Attributes:
      workdir: absolute.
      runs: their folders in it, such as `residual-20/seed-0`.
    """

    workdir: str
    runs: tuple[str, ...]

    def __call__(self) -> None:
        """Trains, and ends the process where that does not come to its end."""
        with StopSignals("stopping after what is under way (compiling, a step, an evaluation)") as stop_signals:
            try:
                runtime.start()
                hosts.join(None)
                with hosts.leaving_at_once():
                    stopped = self._train(stop_signals)
                if stopped is None:
                    return
                print(f"{stopped} and saved", flush=True)
            except Exception as error:
                if (known := outcome(error)) is None:
                    traceback.print_exc()
                    known = 1, f"{type(error).__name__}: {error}"
                print(f"canon: {known[1]}", file=sys.stderr, flush=True)
                sys.exit(known[0])
        number = stop_signals.number
        print("canon: saved, and ended from outside before its runs came to their end", file=sys.stderr, flush=True)
        if number == signal.SIGUSR2:
            signal.raise_signal(number)  # submitit's own answer, now that all is saved: it queues the job again
        elif number == signal.SIGTERM and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            # SLURM means to end it, and knows whether to queue it again: it does so only with a job that it has ended.
            print("waiting to be ended", flush=True)
            time.sleep(_MOST_GRACE_SECONDS)
        sys.exit(128 + (number or signal.SIGTERM))  # the signal may have come to another process of the job

    def _train(self, stop_signals: StopSignals) -> Interrupted | None:
        """Returns how it was stopped, or None at the end."""
        directory = Path(self.workdir)
        config = workdir.read(directory).config
        programs = runner.Programs(config, directory)
        runs = [run for run in runner.planned(config, directory, config.arms) if name(run, directory) in self.runs]
        if not runs:
            raise UserError(f"{directory} holds no study with {', '.join(self.runs)}")
        should_stop = hosts.any_says(stop_signals)
        try:
            if hosts.is_first():
                with Progress(runs) as progress:
                    runner.run(runs, programs.build, progress, should_stop)
            else:
                runner.run(runs, programs.build, runner.Nobody(), should_stop)
        except Interrupted as interruption:
            return interruption
        return None

    def checkpoint(self) -> Any:
        """What is queued in place of this job when its time is up or its place is wanted: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def name(run: plan.Run, directory: Path) -> str:
    """A run's folder in the workdir."""
    return run.directory.relative_to(directory).as_posix()
