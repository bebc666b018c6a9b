"""How a run ended, and the file that says so."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from canon import files
from canon.errors import UserError

RESULT_FILE = "result.json"
FINISHED = "finished"
DIVERGED = "diverged"


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
      status: `finished`, or `diverged` when the loss was not finite any more.
      step: the last step, or the first one whose loss was not finite.
      metrics: over whole splits at the end, such as `test/error`. For a run that diverged every error is 1 and every
        loss infinite: its network predicts nothing.
      best_on_validation: the step with the lowest validation error, and the metrics there; empty without a validation
        split.
      seconds: spent on this run, compiling included, over all launches; what a kill made it do twice counts once.
      compile_seconds: of the launch that began it, until its first step was done: initialising and compiling.
      versions: of Python and of the packages that computed, in the launch that ended it.
      hardware: what that launch ran on.
    """

    status: str
    step: int
    metrics: dict[str, float]
    best_on_validation: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    compile_seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str | int] = field(default_factory=dict)


def finished(step: int, lines: list[dict[str, Any]], seconds: float, compile_seconds: float) -> Result:
    """The result of a run that reached its last step, from its recorded lines.

    Raises:
      UserError: the lines do not end with that step.
    """
    if not lines or lines[-1]["step"] != step or "train/error" not in lines[-1]:
        raise UserError(f"the metrics of step {step} are not recorded; remove the run's folder to train it again")
    validated = [line for line in lines if line.get("validation/error") is not None]
    best = min(validated, key=lambda line: line["validation/error"], default=None)
    return Result(
        status=FINISHED,
        step=step,
        metrics=_of_splits(lines[-1]),
        best_on_validation={"step": best["step"]} | _of_splits(best) if best else {},
        seconds=seconds,
        compile_seconds=compile_seconds,
    )


def diverged(step: int, splits: Iterable[str], seconds: float, compile_seconds: float) -> Result:
    """The result of a run whose loss was not finite at `step`."""
    metrics = {f"{split}/{name}": value for split in splits for name, value in (("loss", math.inf), ("error", 1.0))}
    return Result(DIVERGED, step, metrics, seconds=seconds, compile_seconds=compile_seconds)


def _of_splits(line: dict[str, Any]) -> dict[str, float]:
    splits = ("train/", "validation/", "test/")
    return {k: math.inf if v is None else v for k, v in line.items() if k.startswith(splits)}


def write_result(directory: Path, result: Result) -> None:
    """Says in a run's folder that it has ended, and how."""
    files.write_json(directory / RESULT_FILE, asdict(result))


def read_result(directory: Path) -> Result | None:
    """How the run in `directory` ended, or None while it has not. Raises `UserError` where the file is damaged."""
    path = directory / RESULT_FILE
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text())
        best = content["best_on_validation"]
        kept = {"step": best["step"]} if best else {}
        return Result(
            **content | {"metrics": _of_splits(content["metrics"]), "best_on_validation": kept | _of_splits(best)}
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read; remove it to train the run's last steps again") from error
