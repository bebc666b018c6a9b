"""Watching runs that other processes train, by what those write into the runs' folders."""

import math
from collections.abc import Sequence

from canon.study import workdir
from canon.study.plan import Run
from canon.study.runner import StudyObserver
from canon.training.recorder import METRICS_FILE, read_metrics
from canon.training.result import read_result


class Watch:
    """Tells an observer what happens to runs that are trained elsewhere.

    Args:
      runs: that are to be trained; those that have ended already are told of at once.
      observer: of the study.

    Attributes:
      left: the runs that have not ended.
    """

    def __init__(self, runs: Sequence[Run], observer: StudyObserver):
        self.left: list[Run] = []
        self._observer = observer
        self._begun: set[Run] = set()
        self._sizes: dict[Run, int] = {}  # of what has been read
        self._steps: dict[Run, int] = {}  # the last one that was told of, by a former launch or by this one
        for run in runs:
            if (result := read_result(run.directory)) is None:
                self.left.append(run)
                self._sizes[run] = _size(run)
                lines = read_metrics(run.directory)
                self._steps[run] = lines[-1]["step"] if lines else 0
            else:
                observer.run_began(run, is_compiled=True)
                observer.run_ended(run, result)

    def look(self) -> None:
        """Tells of all that has been written since the last look."""
        for run in list(self.left):
            result = read_result(run.directory)
            if result is None and _size(run) == self._sizes[run]:
                continue
            if run not in self._begun:
                self._begun.add(run)
                _, _, config = workdir.read_run_config(run.directory)
                self._observer.run_began(run, is_compiled=True)  # or it would have written nothing
                self._observer.started(self._steps[run], config.train.steps)
            self._observer.turned_to(run)
            if result is not None:
                self._observer.run_ended(run, result)
                self.left.remove(run)
                continue
            self._sizes[run] = _size(run)
            for line in read_metrics(run.directory):
                if line["step"] > self._steps[run]:
                    self._steps[run] = line.pop("step")
                    values = {name: math.nan if value is None else value for name, value in line.items()}
                    self._observer.recorded(self._steps[run], values)


def _size(run: Run) -> int:
    try:
        return (run.directory / METRICS_FILE).stat().st_size
    except OSError:
        return 0
