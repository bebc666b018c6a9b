"""Whole files: written aside first, then renamed, so that no reader and no crash ever meets half of one."""

import json
import math
import os
from pathlib import Path
from typing import Any

from canon.errors import UserError


def read_text(path: Path, advice: str = "") -> str:
    """A text file in UTF-8, without a byte order mark, its lines ended by line feeds.

    Args:
      path: of the file.
      advice: what to do where it cannot be read.

    Raises:
      UserError: it cannot be read, is not UTF-8, or is empty.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}{'; ' * bool(advice)}{advice}") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} is not UTF-8: byte {error.start}, in line {line}, is {content[error.start]:#04x}"
        ) from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.strip():
        raise UserError(f"{path} is empty")
    return text


def read_lines(path: Path, advice: str = "") -> list[str]:
    """The lines of a text file; as `read_text`, and none has a carriage return in it, as old systems ended lines."""
    text = read_text(path, advice)
    if "\r" in text:
        line = text.count("\n", 0, text.index("\r")) + 1
        raise UserError(f"{path} has a carriage return within line {line}: let lines end in a line feed")
    return text.removesuffix("\n").split("\n")


def is_still(path: Path, before: os.stat_result) -> bool:
    """Whether a path leads to the very file or folder that it led to, and not to another in its place."""
    try:
        return os.path.samestat(os.stat(path), before)
    except OSError:
        return False


def _aside(path: Path, process: int | str) -> Path:
    return path.with_name(f".{path.name}.{process}.tmp")


def is_left_of(path: Path, name: str) -> bool:
    """Whether a process that was killed while it wrote a file of this name has left this one."""
    return path.match(_aside(Path(name), "*").name)


def write(path: Path, content: str | bytes) -> None:
    """Writes `content` to `path`, replacing what was there in one step."""
    aside = _aside(path, os.getpid())
    data = content.encode() if isinstance(content, str) else content
    try:
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as strict JSON; a number that is not finite becomes null."""
    write(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """`value` with null for every float that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value
