"""A model's own arguments on a command line: `--depth=56` beside a command's flags."""

from typing import Any

from canon import models
from canon.errors import UserError, did_you_mean
from canon.overrides import read


def read_arguments(name: str, given: list[str]) -> dict[str, Any]:
    """What `--argument=value` or `--argument value` sets of model `name`, as values of the arguments' types.

    Raises:
      UserError: there is no such model or argument, or a value is not of its type.
    """
    known = models.arguments(name)
    values: dict[str, Any] = {}
    remaining = iter(given)
    for text in remaining:
        key, equals, value = text.removeprefix("--").partition("=")
        if not text.startswith("--") or key not in known:
            hint = "" if text.startswith("-") else "; arguments begin with --, and a command takes one model"
            raise UserError(
                f"model {name} has no argument {key!r}{did_you_mean(key, known)}{hint} (it has: {', '.join(known)})"
            )
        if not equals:
            value = next(remaining, "")
        values[key] = read(f"--{key}", value, known[key])
    return values


def describe(value: Any) -> str:
    """A value as a command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def read_shape(text: str) -> tuple[int, int, int]:
    """(height, width, channels) from `224x224x3`. Raises `UserError` where it is none."""
    try:
        height, width, channels = (int(part) for part in text.lower().replace("×", "x").split("x"))
    except ValueError:
        raise UserError(f"--input takes HEIGHTxWIDTHxCHANNELS, such as 224x224x3, not {text!r}") from None
    if min(height, width, channels) < 1:
        raise UserError(f"--input takes sizes of at least 1, not {text!r}")
    return height, width, channels
