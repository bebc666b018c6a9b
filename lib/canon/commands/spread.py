"""Spreading the runs of a study over the jobs of a cluster, and waiting for them.

WORKDIR/jobs/jobs.json                   which job has which runs
WORKDIR/jobs/ID_0_log.out, .err          what a job printed
"""

import copy
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from canon import cluster, files
from canon.cluster import Resources
from canon.commands.job import TrainingJob, name
from canon.commands.progress import Progress
from canon.commands.signals import StopSignals
from canon.errors import UserError
from canon.study import plan
from canon.study.plan import Run
from canon.study.watch import Watch

JOBS_FOLDER = "jobs"
JOBS_FILE = "jobs.json"


_ON_STOP = {"local": "stopping the jobs, which save themselves", "slurm": "leaving the jobs to themselves"}


class Left(Exception):  # noqa: N818  it is no error
    """The launch was asked to stop. Says what becomes of the jobs; `number` is the signal's."""

    def __init__(self, what: str, number: int):
        super().__init__(what)
        self.number = number


def on_any_device(config: ConfigDict) -> ConfigDict:
    """A copy of a study's config that asks for no number of devices: those that it trains on are elsewhere."""
    config = copy.deepcopy(config)
    with config.unlocked():
        config.parallel.devices = 1
        for arm in config.arms.values():
            if isinstance(arm, ConfigDict) and "devices" in arm.get("parallel", {}):
                del arm.parallel["devices"]
    return config.lock()


def divide(config: ConfigDict, runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each job: one; or all of an arm, where they are trained in one program or wait for each other."""
    arms = plan.arm_configs(config)
    jobs: dict[str, list[Run]] = {}
    for run in runs:
        alone = not config.candidates and arms[run.arm].parallel.seeds in ("sequential", "concurrent")
        jobs.setdefault(run.title if alone else run.arm, []).append(run)
    return list(jobs.values())


def train(config: ConfigDict, experiment: str, directory: Path, runs: Sequence[Run], resources: Resources) -> list[str]:
    """Submits jobs for the runs that have not ended and that no living job has, and waits until all have ended.

    Args:
      config: of the study.
      experiment: its name.
      directory: the workdir, in which the study stands.
      runs: see `runner.planned`.
      resources: of each job.

    Returns:
      For each job that ended before its runs did, a line that says why.

    Raises:
      Left: a signal came.
      UserError: the jobs are refused.
    """
    folder = directory / JOBS_FOLDER
    queue = cluster.executor(resources, folder, experiment)
    book = _Book(folder / JOBS_FILE, resources.executor)
    failures: list[str] = []
    with StopSignals(_ON_STOP[resources.executor]) as stop_signals, Progress(runs, in_turn=False) as progress:
        watch = Watch(runs, progress)
        living = queue.living()
        jobs = {job: names for job, names in book.jobs.items() if job in living}
        if jobs:
            progress.say(f"waiting for jobs of a former launch: {', '.join(jobs)}")
        taken = set().union(*jobs.values())
        waiting = divide(config, [run for run in watch.left if name(run, directory) not in taken])
        gone: dict[str, float] = {}
        while jobs or waiting:
            room = queue.slots - len(living & jobs.keys())
            if waiting and room > 0:
                count = int(min(room, len(waiting)))
                now, waiting = waiting[:count], waiting[count:]
                names = [tuple(name(run, directory) for run in job) for job in now]
                ids = queue.submit([TrainingJob(str(directory.absolute()), of_job) for of_job in names])
                jobs |= zip(ids, names, strict=True)
                book.add(jobs)
                if resources.executor != "local":
                    progress.say(
                        f"submitted {len(ids)} job{'s' * (len(ids) > 1)}, {ids[0]}{' and on' * (len(ids) > 1)}"
                    )
            time.sleep(0.5)
            if stop_signals():
                raise Left(queue.leave(jobs), stop_signals.number)
            living = queue.living()
            watch.look()
            left = {name(run, directory) for run in watch.left}
            for job in sorted(jobs.keys() - living):
                missing = [run for run in jobs[job] if run in left]
                if missing and time.monotonic() - gone.setdefault(job, time.monotonic()) < queue.lag:
                    continue  # its last words may be on their way
                del jobs[job]
                if missing:
                    failures.append(f"{', '.join(missing)}: {_last_words(folder, job)}")
                    progress.say(failures[-1])
            gone = {job: since for job, since in gone.items() if job in jobs and job not in living}
    return failures


def _last_words(folder: Path, job: str) -> str:
    """Why a job ended, as far as its log says."""
    log = folder / f"{job}_0_log.err"
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return f"job {job} has ended without a word, and wrote no {log}"
    said = [line.removeprefix("canon: ") for line in lines if line.startswith("canon: ")]
    last = said[-1] if said else next((line.strip() for line in reversed(lines) if line.strip()), "it was ended")
    return f"{last} (job {job}; {log})"


class _Book:
    """Which job has which runs, kept for the next launch."""

    def __init__(self, path: Path, executor: str):
        self._path = path
        self._executor = executor
        self._all: dict[str, dict[str, list[str]]] = {}
        if path.exists():
            try:
                self._all = json.loads(path.read_text())
                self.jobs = {job: tuple(runs) for job, runs in self._all.get(executor, {}).items()}
            except (ValueError, AttributeError, TypeError) as error:
                raise UserError(f"{path} cannot be read; remove it once no job of the study is queued") from error
        else:
            self.jobs = {}

    def add(self, jobs: Mapping[str, Sequence[str]]) -> None:
        self.jobs |= {job: tuple(runs) for job, runs in jobs.items()}
        self._all[self._executor] = {job: list(runs) for job, runs in self.jobs.items()}
        files.write_json(self._path, self._all)
