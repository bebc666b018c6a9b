"""Several processes that train together, each with its own devices, on one host or on many.

Every process runs the same program on the same config, and sees the same files: the workdir lies where all of them can
read it. The first one writes; what is decided once, such as when to stop, is decided for all.
"""

import contextlib
import ipaddress
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from canon.errors import UserError, outcome
from canon.training import roll_call

HEARTBEAT_SECONDS = 30
"""After so long without a sign of life a process is taken for dead, and the others end."""


@dataclass(frozen=True)
class Place:
    """Where a process belongs, as a user says it.

    Attributes:
      coordinator: HOST:PORT of process 0, at which it waits for the others.
      process_id: from 0.
      num_processes: how many there are.
      timeout: seconds in which all of them have to come.
    """

    coordinator: str
    process_id: int
    num_processes: int
    timeout: float = 300.0

    def __post_init__(self):
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 2**16:
            raise UserError(f"--coordinator takes HOST:PORT of process 0, not {self.coordinator!r}")
        if self.num_processes < 1 or not 0 <= self.process_id < self.num_processes:
            raise UserError(
                f"--process_id is from 0 to --num_processes - 1, not {self.process_id} of {self.num_processes}"
            )
        if not self.timeout > 0:
            raise UserError(f"--join_timeout must be above 0 seconds, not {self.timeout}")


def join(place: Place | None) -> None:
    """Waits for the other processes, if there are any; comes before anything that asks JAX for a device.

    Args:
      place: of this process; None to find it in what SLURM, Open MPI, Kubernetes and TPU pods say to theirs.

    Raises:
      UserError: not all of them came; it names those that are missing.
    """
    if place is None:
        if environment_names_several(os.environ):
            jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    elif place.num_processes > 1:
        # JAX ends a process that waits in vain, with a stack of its own calls and no word of who is missing.
        began = time.monotonic()
        lines = roll_call.hold(place.coordinator, place.process_id, place.num_processes, place.timeout)
        jax.distributed.initialize(
            place.coordinator,
            place.num_processes,
            place.process_id,
            initialization_timeout=max(10, round(place.timeout - (time.monotonic() - began))),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            coordinator_bind_address=place.coordinator if _is_loopback(place.coordinator) else None,
        )
        lines.watch(lambda process: _end(1, f"process {process} has ended; {_WAY_OUT}"))
        _lines.append(lines)


_lines: list[roll_call.Lines] = []  # of this process


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def environment_names_several(environment: dict[str, str] | os._Environ) -> bool:
    """Whether this process was started as one of several, by a launcher whose words JAX understands."""

    def number(name: str) -> int:
        return int(environment[name]) if environment.get(name, "").isdigit() else 0

    return (
        "JAX_COORDINATOR_ADDRESS" in environment
        or max(map(number, ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "MEGASCALE_NUM_SLICES"))) > 1
        or "," in environment.get("TPU_WORKER_HOSTNAMES", "")
        or ("KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment)
    )


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
    """Within, a process that fails ends itself: JAX would have it wait for the others, which wait for it."""
    with ending_with_others():
        try:
            yield
            for lines in _lines:
                lines.leave()
        except (Exception, KeyboardInterrupt) as error:
            if not several() or _is_of_a_lost_process(error):
                raise
            known = outcome(error)
            if known is None:
                traceback.print_exc()
            _end(*(known or (1, f"process {jax.process_index()} failed, and the others end with it")))


@contextlib.contextmanager
def ending_with_others() -> Iterator[None]:
    """Within, a process that has lost another ends itself, before anything waits for the other one.

    Where they found each other by a roll call, it has ended by then. Else a CPU's collectives notice as soon as their
    connection closes; and in any case JAX ends it, after `HEARTBEAT_SECONDS`.
    """
    try:
        yield
    except Exception as error:
        if not (several() and _is_of_a_lost_process(error)):
            raise
        _end(1, _LOST)


def _end(status: int, line: str) -> None:
    print(f"canon: {line}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)


_WAY_OUT = "what was saved before is kept: start all of them again, and they go on from there"
_LOST = f"another process has ended, or cannot be reached any more; {_WAY_OUT}"


def _is_of_a_lost_process(error: BaseException) -> bool:
    words = ("Gloo", "NCCL", "coordination", "heartbeat", "Connection reset", "DEADLINE_EXCEEDED", "UNAVAILABLE")
    return not isinstance(error, UserError | OSError) and any(word in str(error) for word in words)


def several() -> bool:
    """Whether there is more than one process."""
    return jax.process_count() > 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def wait_for_all(where: str) -> None:
    """Returns once every process has come to the same place."""
    if several():
        multihost_utils.sync_global_devices(where)


def fetch(array: jax.Array) -> np.ndarray:
    """All of an array, in every process, wherever its parts are."""
    return np.asarray(array) if array.is_fully_addressable else multihost_utils.process_allgather(array, tiled=True)


def first_says(value: bool) -> bool:
    """The first process's value, in all of them."""
    return bool(multihost_utils.broadcast_one_to_all(np.asarray(value))) if several() else value


def any_says(ask: Callable[[], bool], every: int = 10) -> Callable[[], bool]:
    """A question that all processes answer alike: yes once one of them says so.

    It is put to them at every `every`-th call only, because it waits for all steps that are under way.
    """
    if not several():
        return ask
    calls, answer = 0, False

    def agreed() -> bool:
        nonlocal calls, answer
        calls += 1
        if not answer and calls % every == 0:
            answer = bool(multihost_utils.process_allgather(np.asarray(ask())).any())
        return answer

    return agreed
