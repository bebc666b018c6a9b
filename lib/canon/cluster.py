"""Jobs on a cluster, or on this host, through submitit.

submitit hands a job to its process as a pickle, which this program writes into the folder of the jobs and which the job
reads there; what a job has to say it writes into the folders of its runs, and nothing of it is unpickled here.
"""

import contextlib
import getpass
import importlib.util
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from canon.errors import UserError, did_you_mean

EXECUTORS = ("slurm", "local")

MINUTES = 240.0
"""Of a job, where nothing else is asked for."""

SIGNAL_SECONDS = 90
"""So long before its time is up a job is told to save itself; at half of its time, where that is less."""

SECONDS_BETWEEN_QUESTIONS = 10.0

_MOST_TIMEOUTS = 1000  # for submitit, which wants a bound
_OURS = (
    "array", "error", "job-name", "ntasks", "ntasks-per-node", "open-mode", "output", "parsable", "signal", "test-only",
    "wait", "wrap",
)  # fmt: skip
_FLAGS = {
    "cpus-per-task": "cpus", "gpus-per-node": "gpus", "mem": "memory", "nodes": "nodes", "partition": "partition",
    "time": "time_limit",
}  # fmt: skip


@dataclass(frozen=True)
class Resources:
    """What the jobs of a study are run by, and what each of them asks for.

    Attributes:
      executor: `slurm`, or `local`: processes of this host.
      at_once: how many jobs run at a time; 0 for as many as the cluster has room for, and for one on this host.
      partition: of SLURM; empty for its default.
      nodes: of a job, with one process on each, which train together.
      gpus: of each node; on this host jobs that run at a time have different ones.
      cpus: of each node; 0 for the cluster's default.
      memory: of each node, in GB; 0 for the cluster's default.
      minutes: of SLURM, after which a job is saved, ended and queued again; 0 for `MINUTES`.
      sbatch: further options of sbatch, by name, such as `account`.
    """

    executor: str
    at_once: int = 0
    partition: str = ""
    nodes: int = 1
    gpus: int = 0
    cpus: int = 0
    memory: float = 0.0
    minutes: float = 0.0
    sbatch: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if self.executor not in EXECUTORS:
            nearest = did_you_mean(self.executor, EXECUTORS)
            raise UserError(f"--executor takes {' or '.join(EXECUTORS)}, not {self.executor!r}{nearest}")
        for name, least in (("at_once", 0), ("nodes", 1), ("gpus", 0), ("cpus", 0)):
            if getattr(self, name) < least:
                raise UserError(f"--{name} must be at least {least}, not {getattr(self, name)}")
        if not 0 <= self.memory < math.inf:
            raise UserError(f"--memory must be at least 0 GB, not {self.memory}")
        if not (self.minutes == 0 or 2 <= self.minutes < math.inf):
            raise UserError(f"--time_limit must be 2 minutes or more, not {self.minutes}")
        if self.executor == "local":
            for name in ("partition", "cpus", "memory", "sbatch", "minutes"):
                if getattr(self, name):
                    raise UserError(f"--{'time_limit' if name == 'minutes' else name} is for --executor=slurm")
            if self.nodes > 1:
                raise UserError("--nodes is for --executor=slurm: this host is one")
        if taken := sorted(set(self.sbatch) & set(_OURS)):
            raise UserError(f"--sbatch={taken[0]} is not for you to set: the jobs of a study need their own")
        if taken := sorted(set(self.sbatch) & set(_FLAGS)):
            raise UserError(f"--sbatch={taken[0]} has a flag of its own: --{_FLAGS[taken[0]]}")


Task = Callable[[], None]
"""What a job does: it can be pickled. Where it has a method `checkpoint`, what that returns is queued in its place."""


class Executor(Protocol):
    """What runs jobs."""

    slots: float
    """How many jobs may be submitted and not have ended."""

    lag: float
    """Seconds after which what a job has written can be seen here."""

    def submit(self, tasks: Sequence[Task]) -> list[str]:
        """Starts a job for each task, or queues it. Returns their ids. Raises `UserError` where that is refused."""

    def living(self) -> set[str]:
        """The ids of jobs that are queued or running, and perhaps of others."""

    def leave(self, ids: Collection[str]) -> str:
        """Called when nobody waits for these jobs any more. Says what becomes of them."""


def check(resources: Resources, folder: Path) -> None:
    """Raises `UserError` unless jobs with their logs in `folder` can be submitted: it writes nothing."""
    if importlib.util.find_spec("submitit") is None:
        raise UserError("--executor needs submitit: pip install -e '.[cluster]'")
    if "%" in str(folder.absolute()):
        raise UserError(f"--executor needs a --workdir without %, in which SLURM sees a job's number, not {folder}")
    missing = [tool for tool in ("sbatch", "srun", "squeue", "scontrol") if shutil.which(tool) is None]
    if resources.executor == "slurm" and missing:
        raise UserError(f"--executor=slurm needs SLURM's commands; there is no {missing[0]} here")
    if resources.executor == "local":
        _gpus_of_slots(resources)
    else:
        options = {name.replace("_", "-"): value for name, value in _options(resources).items()}
        given = [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]
        tried = subprocess.run(["sbatch", "--test-only", *given, "--wrap=true"], capture_output=True, text=True)
        if tried.returncode:
            raise UserError(f"sbatch refuses such jobs: {_why(tried.stderr)}")


def executor(resources: Resources, folder: Path, name: str) -> Executor:
    """What runs the jobs of a study.

    Args:
      resources: that each job asks for.
      folder: where the jobs have their logs; made if need be.
      name: of the jobs, in the queue.

    Raises:
      UserError: see `check`.
    """
    check(resources, folder)
    import submitit

    folder = folder.absolute()
    if resources.executor == "local":
        return _Local(submitit.LocalExecutor(folder, max_num_timeout=_MOST_TIMEOUTS), resources)
    queue = submitit.SlurmExecutor(folder, max_num_timeout=_MOST_TIMEOUTS)
    options = _options(resources)
    queue.update_parameters(
        job_name=name,
        signal_delay_s=round(min(SIGNAL_SECONDS, 30 * (resources.minutes or MINUTES))),
        # submitit wants a bound; what there is no room for waits anyway.
        array_parallelism=resources.at_once or sys.maxsize,
        time=options.pop("time"),
        nodes=options.pop("nodes"),
        ntasks_per_node=options.pop("ntasks_per_node"),
        additional_parameters={"requeue": True, **options},
    )
    return _Slurm(queue)


def _options(resources: Resources) -> dict[str, Any]:
    """Those of sbatch."""
    wanted = {
        "time": math.ceil(resources.minutes or MINUTES),
        "nodes": resources.nodes,
        "ntasks_per_node": 1,
        "partition": resources.partition,
        "gpus_per_node": resources.gpus,
        "cpus_per_task": resources.cpus,
        "mem": f"{round(resources.memory * 1024)}M" if resources.memory else "",
        **resources.sbatch,
    }
    return {name: value for name, value in wanted.items() if value}


def _why(said: str) -> str:
    """The last reason that sbatch gives, of all that it says."""
    lines = [line.removeprefix("allocation failure: ") for line in said.splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if "sbatch: error: " in line]
    return (errors or [line for line in lines if not line.startswith("Try ")] or ["it does not say why"])[-1]


class _Slurm:
    slots = math.inf
    lag = 10.0  # a network's file systems keep what they have seen of a folder

    def __init__(self, queue: Any):
        self._queue = queue
        self._living: set[str] | None = None  # as squeue has said
        self._asked = -math.inf

    def submit(self, tasks: Sequence[Task]) -> list[str]:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            with self._queue.batch():
                jobs = [self._queue.submit(task) for task in tasks]
        except (FailedJobError, FailedSubmissionError) as error:
            raise UserError(f"sbatch refuses the jobs: {_why(str(error))}") from error
        ids = [job.job_id for job in jobs]
        self._living = (self._living or set()) | set(ids)
        self._asked = time.monotonic()  # the controller may not list them yet
        return ids

    def living(self) -> set[str]:
        if self._living is not None and time.monotonic() - self._asked < SECONDS_BETWEEN_QUESTIONS:
            return self._living
        self._asked = time.monotonic()
        # Not sacct, which submitit asks: it says nothing where the cluster keeps no accounts.
        command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={getpass.getuser()}"]
        try:
            listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            if self._living is None:
                raise UserError(f"squeue does not say which jobs there are ({error}); try again later") from error
            return self._living  # the controller may be busy, or away for a while; the jobs go on
        self._living = set(listed.stdout.split())
        return self._living

    def leave(self, ids: Collection[str]) -> str:
        arrays = sorted({job.partition("_")[0] for job in ids})
        return f"the jobs go on (to end them: scancel {' '.join(arrays)}); the same command waits for them again"


class _Local:
    lag = 0.0

    def __init__(self, queue: Any, resources: Resources):
        self.slots = resources.at_once or 1
        self._queue = queue
        self._gpus = _gpus_of_slots(resources)
        self._jobs: dict[int, list] = {slot: [] for slot in range(int(self.slots))}
        self._queue.update_parameters(timeout_min=_FOR_EVER)

    def submit(self, tasks: Sequence[Task]) -> list[str]:
        free = [slot for slot, jobs in self._jobs.items() if all(job.done() for job in jobs)]
        ids = []
        for slot, task in zip(free, tasks, strict=False):
            # Ctrl-C comes to all processes of a terminal; submitit's would end its tasks at once, unsaved.
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                job = self._queue.submit(_OnGpus(task, self._gpus[slot]))
            finally:
                signal.signal(signal.SIGINT, before)
            self._jobs[slot] = [job]
            ids.append(job.job_id)
        return ids

    def living(self) -> set[str]:
        return {job.job_id for jobs in self._jobs.values() for job in jobs if not job.done()}

    def leave(self, ids: Collection[str]) -> str:
        while living := self.living() & set(ids):
            for job in living:  # again and again: one that has only begun does not listen yet
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(job), signal.SIGTERM)
            time.sleep(1.0)
        return "stopped and saved; the same command goes on from there"


@dataclass(frozen=True)
class _OnGpus:
    """A task that sees these GPUs, as `CUDA_VISIBLE_DEVICES` names them; None: those that whoever submits it sees.

    submitit would have it see those from number 0 on, or none.
    """

    task: Task
    gpus: str | None

    def __call__(self) -> None:
        if self.gpus is None:
            os.environ.pop(_VISIBLE, None)
        else:
            os.environ[_VISIBLE] = self.gpus
        self.task()

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _gpus_of_slots(resources: Resources) -> list[str | None]:
    """What each of the jobs that run at a time sees of the GPUs that there are for this process."""
    slots, each, seen = resources.at_once or 1, resources.gpus, os.environ.get(_VISIBLE)
    if not each:
        return [seen] * slots
    names = seen.split(",") if seen else [str(number) for number in range(slots * each)]
    if slots * each > len(names):
        raise UserError(
            f"--at_once={slots} with --gpus={each} needs {slots * each} GPUs, and {_VISIBLE} names {len(names)}"
        )
    return [",".join(names[slot * each : (slot + 1) * each]) for slot in range(slots)]


_VISIBLE = "CUDA_VISIBLE_DEVICES"
_FOR_EVER = 60 * 24 * 365 * 10  # minutes
