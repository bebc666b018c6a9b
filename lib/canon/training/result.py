"""How a run ended, and the file that says so."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from canon import files
from canon.errors import UserError

RESULT_FILE = "result.json"
FINISHED = "finished"
DIVERGED = "diverged"
STEPS_TO_TARGET = "steps_to_target"
SPLITS = ("train/", "validation/", "test/")
"""What the names of metrics over whole splits begin with."""


class TrainConfig(Protocol):
    """What the result takes from the section `train` of a config."""

    steps: int
    target_error: float
    give_up_after: int


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
      status: `finished`, or `diverged` when the loss was not finite any more.
      step: the last step, or the first one at which something was not finite.
      metrics: over whole splits at the end, such as `test/error`; what was recorded at the last step, as `batch/NAME`,
        and at the first recorded one, as `first/NAME`; and `steps_to_target`, where the run has a target. For a run
        that diverged every error is 1 and every loss infinite: its network predicts nothing.
      best_on_validation: the step with the lowest validation error, and the metrics there; empty without a validation
        split.
      not_finite: of a run that diverged, what was the first that was not finite, such as `loss`.
      seconds: spent on this run, compiling included, over all launches; what a kill made it do twice counts once.
      compile_seconds: of the launch that began it, until its first step was done: initialising and compiling.
      parts: where the seconds went; see `canon.training.stopwatch`.
      versions: of Python and of the packages that computed, in the launch that ended it.
      hardware: what that launch ran on.
    """

    status: str
    step: int
    metrics: dict[str, float]
    best_on_validation: dict[str, float] = field(default_factory=dict)
    not_finite: str = ""
    seconds: float = 0.0
    compile_seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str | int] = field(default_factory=dict)


def finished(
    step: int, lines: list[dict[str, Any]], seconds: float, compile_seconds: float, train: TrainConfig
) -> Result:
    """The result of a run that ended at `step`, from its recorded lines and the section `train` of its config.

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
        metrics=_of_splits(lines[-1]) | _recorded(lines) | _to_target(lines, train),
        best_on_validation={"step": best["step"]} | _of_splits(best) if best else {},
        seconds=seconds,
        compile_seconds=compile_seconds,
    )


def diverged(
    step: int,
    lines: list[dict[str, Any]],
    splits: Iterable[str],
    seconds: float,
    compile_seconds: float,
    train: TrainConfig,
    not_finite: str = "",
) -> Result:
    """The result of a run of which something was not finite at `step`, as `not_finite` says; see `finished`."""
    metrics = {f"{split}/{name}": value for split in splits for name, value in (("loss", math.inf), ("error", 1.0))}
    first = {name: value for name, value in _recorded(lines).items() if name.startswith("first/")}
    last = {name.replace("first/", "batch/", 1): math.inf for name in first}
    metrics |= last | {"batch/loss": math.inf, "batch/error": 1.0} | first | _to_target(lines, train)
    return Result(DIVERGED, step, metrics, not_finite=not_finite, seconds=seconds, compile_seconds=compile_seconds)


def reached(lines: list[dict[str, Any]], target_error: float) -> int | None:
    """The first recorded step whose mini-batch error, a mean since the line before, is at most `target_error`."""
    errors = ((line["step"], line.get("batch/error")) for line in lines)
    return next((step for step, error in errors if error is not None and error <= target_error), None)


def _to_target(lines: list[dict[str, Any]], train: TrainConfig) -> dict[str, float]:
    """A run that never came to the target needs more steps than it has: they count as a lower bound."""
    if not train.target_error:
        return {}
    at_most = min(train.steps, train.give_up_after or train.steps)
    return {STEPS_TO_TARGET: float(reached(lines, train.target_error) or at_most)}


def _of_splits(line: dict[str, Any]) -> dict[str, float]:
    return _numbers(line, SPLITS)


def _recorded(lines: list[dict[str, Any]]) -> dict[str, float]:
    recorded = [_numbers(line, ("batch/",)) for line in lines if "batch/loss" in line]
    if not recorded:
        return {}
    return recorded[-1] | {name.replace("batch/", "first/", 1): value for name, value in recorded[0].items()}


def _numbers(line: dict[str, Any], prefixes: tuple[str, ...] = ("",)) -> dict[str, float]:
    return {k: math.inf if v is None else v for k, v in line.items() if k.startswith(prefixes)}


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
        return Result(**content | {"metrics": _numbers(content["metrics"]), "best_on_validation": _numbers(best)})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read; remove it to train the run's last steps again") from error
