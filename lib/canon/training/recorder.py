"""A run's metrics on disk: `metrics.jsonl`, one line per recorded step, and TensorBoard event files beside it."""

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from canon import files
from canon.errors import UserError

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
    """

    def __init__(self, directory: Path, first_step: int):
        """Args: directory: the run's folder. first_step: the step that the run's state has now."""
        kept = [line for line in read_metrics(directory) if line["step"] <= first_step]
        files.write(directory / METRICS_FILE, "".join(json.dumps(line) + "\n" for line in kept))
        self._path = directory / METRICS_FILE
        self._lines = open(self._path, "a")  # noqa: SIM115  closed on leaving
        # The suffix keeps two launches within one second from writing to one file.
        self._events = SummaryWriter(str(directory), purge_step=first_step + 1, filename_suffix=f".{first_step}")

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: Any) -> None:
        self._lines.close()
        self._events.close()

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line: the step and its metrics; a value that is not finite becomes null."""
        if not files.is_still(self._path, os.fstat(self._lines.fileno())):  # nobody would ever read the line
            raise FileNotFoundError(errno.ENOENT, "the run's folder was removed", str(self._path))
        self._lines.write(json.dumps(files.finite({"step": step} | values), allow_nan=False) + "\n")
        self._lines.flush()
        for name, value in values.items():
            if math.isfinite(value):
                self._events.add_scalar(name, value, step)


class Silent:
    """A recorder that records nothing: another process does."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: Any) -> None: ...

    def write(self, step: int, values: dict[str, float]) -> None: ...
