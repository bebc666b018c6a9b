"""A run's metrics on disk: `metrics.jsonl`, one line per recorded step, and TensorBoard event files beside it."""

import contextlib
import errno
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from canon import files, imports
from canon.errors import UserError

with imports.without("torch"):  # which it loads where it is there, for seconds, and has no use for here
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.summary import scalar

METRICS_FILE = "metrics.jsonl"


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`, in order; a last line that a crash cut short is left out.

    Raises:
      UserError: any other line is damaged.
    """
    path = directory / METRICS_FILE
    if not path.exists():
        return []
    whole = path.read_bytes().split(b"\n")[:-1]  # what no newline ends was cut short
    lines = []
    for number, text in enumerate(whole, start=1):
        try:
            line = json.loads(text)
            line["step"] = int(line["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}:{number} is damaged; remove the run's folder to train it again") from error
        lines.append(line)
    return lines


class Recorder:
    """Appends to a run's metrics, from a given step on.

    What a former launch recorded after that step is taken back, because this launch will come to it again.

    Attributes:
      lines: how many there are.
    """

    def __init__(self, directory: Path, first_step: int):
        """Args: directory: the run's folder. first_step: the step that the run's state has now."""
        kept = [line for line in read_metrics(directory) if line["step"] <= first_step]
        files.write(directory / METRICS_FILE, "".join(json.dumps(line) + "\n" for line in kept))
        self.lines = len(kept)
        self._path = directory / METRICS_FILE
        self._file = open(self._path, "a")  # noqa: SIM115  closed on leaving
        # Not by the library's `SummaryWriter`: its thread ends on a full disk, and whoever wants to write waits for it.
        # The suffix keeps two launches within one second from writing to one file.
        self._events = EventsWriter(str(directory / "events"), filename_suffix=f".{first_step}")
        self._event(first_step + 1, session_log=SessionLog(status=SessionLog.START))  # what was written beyond is void
        self._events.flush()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: Any) -> None:
        with self._naming_the_file():
            self._file.close()
            self._events.close()

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line: the step and its metrics; a value that is not finite becomes null.

        Raises:
          OSError: the disk is full, or the run's folder was removed.
        """
        if not files.is_still(self._path, os.fstat(self._file.fileno())):  # nobody would ever read the line
            raise FileNotFoundError(errno.ENOENT, "the run's folder was removed", str(self._path))
        with self._naming_the_file():
            self._file.write(json.dumps(files.finite({"step": step} | values), allow_nan=False) + "\n")
            self._file.flush()
            self.lines += 1
            for name, value in values.items():
                if math.isfinite(value):
                    self._event(step, summary=scalar(name, value))
            self._events.flush()

    def sync(self) -> None:
        """Returns when the lines are on the disk, and would be there after the power had failed."""
        with self._naming_the_file():
            os.fsync(self._file.fileno())

    def _event(self, step: int, **content: Any) -> None:
        self._events.write_event(Event(wall_time=time.time(), step=step, **content))

    @contextlib.contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(self._path)) from error


class Silent:
    """A recorder that records nothing: another process does."""

    lines = 0

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: Any) -> None: ...

    def write(self, step: int, values: dict[str, float]) -> None: ...

    def sync(self) -> None: ...
