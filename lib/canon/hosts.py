"""Several processes that train together, each with its own devices, on one host or on many.

Every process runs the same program on the same config, and sees the same files: the workdir lies where all of them can
read it. The first one writes; what is decided once, such as when to stop, is decided for all.
"""

import contextlib
import os
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from canon import roll_call
from canon.errors import UserError, outcome

HEARTBEAT_SECONDS = 30
"""After so long without a sign of life a process is taken for dead, and the others end."""

AUTO = "auto"
"""In place of an address: what JAX finds in the environment."""

_MOST_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Place:
    """Where a process belongs, as a user says it.

    Attributes:
      coordinator: HOST:PORT of process 0, at which it waits for the others; or `AUTO`.
      process_id: from 0.
      num_processes: how many there are.
      timeout: seconds in which all of them have to come.
    """

    coordinator: str
    process_id: int = 0
    num_processes: int = 1
    timeout: float = 300.0

    def __post_init__(self):
        host, _, port = self.coordinator.rpartition(":")
        is_port = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16
        if self.coordinator != AUTO and not (host and is_port):
            raise UserError(f"--coordinator takes HOST:PORT of process 0, or auto, not {self.coordinator!r}")
        if self.num_processes < 1 or not 0 <= self.process_id < self.num_processes:
            raise UserError(
                f"--process_id is from 0 to --num_processes - 1, not {self.process_id} of {self.num_processes}"
            )
        if not 0 < self.timeout <= _MOST_SECONDS:
            raise UserError(f"--join_timeout must be above 0 seconds and at most a week, not {self.timeout}")


def join(place: Place | None) -> None:
    """Waits for the other processes, if there are any; comes before anything that asks JAX for a device.

    Args:
      place: of this process; None to find it in what SLURM, Open MPI and TPU pods say to theirs.

    Raises:
      UserError: not all of them came; it names those that are missing.
    """
    if place is None and not environment_names_several(os.environ):
        return
    if place is None or place.coordinator == AUTO:
        try:
            jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"this process was started as one of several, and JAX cannot tell which ({error}); say so with "
                "--coordinator, --process_id and --num_processes (--num_processes=1: it is alone)"
            ) from error
    elif place.num_processes > 1:
        # JAX ends a process that waits in vain, with a stack of its own calls and no word of who is missing.
        began = time.monotonic()
        lines = roll_call.hold(place.coordinator, place.process_id, place.num_processes, place.timeout)
        host = place.coordinator.rpartition(":")[0].strip("[]")
        jax.distributed.initialize(
            place.coordinator,
            place.num_processes,
            place.process_id,
            initialization_timeout=max(10, round(place.timeout - (time.monotonic() - began))),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            coordinator_bind_address=place.coordinator if roll_call.is_loopback(host) else None,
        )
        _lines.append(lines)
        lines.watch(_end_with)


_lines: list[roll_call.Lines] = []  # of this process


def environment_names_several(environment: Mapping[str, str]) -> bool:
    """Whether this process was started as one of several, by a launcher whose words JAX understands.

    The pods of a Kubernetes job may as well be independent: they say `--coordinator=auto`.
    """

    def number(name: str) -> int:
        text = environment.get(name, "")
        return int(text) if text.isascii() and text.isdigit() else 0

    return (
        "JAX_COORDINATOR_ADDRESS" in environment
        or max(map(number, ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "MEGASCALE_NUM_SLICES"))) > 1
        or "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    )


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
    """Within, a process that fails ends itself: JAX would have it wait for the others, which wait for it.

    It tells them why, where they found each other by a roll call, and they end for that reason.
    """
    with ending_with_others():
        try:
            yield
            for lines in _lines:
                lines.leave()
        except (Exception, KeyboardInterrupt) as error:
            if not several() or _is_of_a_lost_process(error):
                raise
            if isinstance(error, BrokenPipeError):
                _end(141, "")
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
        time.sleep(1.0)  # the one that ended may still be saying why
        reason = str(error).strip().split("\n")[0][:200]
        _end(1, f"another process has ended, or cannot be reached any more ({reason}); {_WAY_OUT}")


def _end_with(process: int, said: str) -> None:
    """Ends as the other process did: it said its status and why, or nothing."""
    status, _, reason = said.partition(" ")
    if status.isdigit() and reason:
        _end(int(status), f"process {process} has ended: {reason}")
    _end(1, f"process {process} has ended; {_WAY_OUT}")


def _end(status: int, line: str) -> None:
    try:
        for lines in _lines:
            lines.leave(f"{status} {line}")
        if line:
            print(f"canon: {line}", file=sys.stderr, flush=True)
        if sys.stdout.isatty():
            print("\x1b[?25h", end="")  # a live view has hidden the cursor
        sys.stdout.flush()
    finally:
        os._exit(status)


_WAY_OUT = "what was saved before is kept: start all of them again, and they go on from there"


def _is_of_a_lost_process(error: BaseException) -> bool:
    words = ("Gloo", "coordination service", "heartbeat", "Connection reset", "Connection closed", "Socket closed")
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


def all_say(value: bool) -> bool:
    """Whether the value is true in all processes."""
    return bool(multihost_utils.process_allgather(np.asarray(value)).all()) if several() else value


def check_same(what: str, value: str) -> None:
    """Raises `UserError`, in every process, unless all of them have the same value."""
    if not several():
        return
    found = multihost_utils.process_allgather(np.asarray(zlib.crc32(value.encode()), np.uint32))
    if len(set(found.tolist())) > 1:
        raise UserError(
            f"the processes do not see the same {what}: the workdir has to lie where all of them see it, and all need "
            "the same command"
        )


def any_says(ask: Callable[[], bool]) -> Callable[[], bool]:
    """A question that all processes answer alike: yes once one of them says so.

    It is put to them about once a second, because it waits for all steps that are under way.
    """
    if not several():
        return ask
    every, calls, answer, asked = 1, 0, False, time.monotonic()

    def agreed() -> bool:
        nonlocal every, calls, answer, asked
        calls += 1
        if not answer and calls >= every:
            seconds = (time.monotonic() - asked) / calls
            answers = multihost_utils.process_allgather(np.asarray([float(ask()), seconds], np.float32))
            answer = bool(answers[:, 0].any())
            every = int(np.clip(1.0 / max(answers[:, 1].max(), 1e-3), 1, 100))
            calls, asked = 0, time.monotonic()
        return answer

    return agreed
