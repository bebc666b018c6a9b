"""The loop: batch, step, and every so often a line of metrics, an evaluation, a checkpoint. All side effects are here.

What it records, by key: `batch/…` are means over the mini-batches since the last line, as the network trains;
`train/…`, `validation/…` and `test/…` are over a whole split, as the network predicts; `speed/…` is without compiling,
evaluating and saving.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from canon import files
from canon.training.checkpoint import Checkpoints
from canon.training.metrics import Mean, Metrics
from canon.training.program import Program
from canon.training.recorder import Recorder, read_metrics
from canon.training.state import TrainState

RESULT_FILE = "result.json"
CHECKPOINT_FOLDER = "checkpoints"


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
      status: `finished`, or `diverged` when the loss was not finite any more.
      step: the last step, or the first one whose loss was not finite.
      metrics: at the end, by split, such as `test/error`. For a run that diverged, every error is 1 and every loss
        infinite: its network predicts nothing.
      best_on_validation: the step with the lowest validation error, and its metrics; empty without a validation split.
      seconds: spent on this run, over all launches, compiling included.
      compile_seconds: how long its first step took, in the launch that began it.
    """

    status: str
    step: int
    metrics: dict[str, float]
    best_on_validation: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    compile_seconds: float = 0.0


class Interrupted(Exception):
    """The run was asked to stop, and saved itself at `step`."""

    def __init__(self, step: int):
        super().__init__(f"stopped at step {step}")
        self.step = step


class Observer(Protocol):
    """Someone who watches a run: a progress display, or nobody."""

    def started(self, step: int, steps: int) -> None: ...

    def recorded(self, step: int, values: dict[str, float]) -> None: ...


class Nobody:
    """An observer that looks away."""

    def started(self, step: int, steps: int) -> None: ...

    def recorded(self, step: int, values: dict[str, float]) -> None: ...


def read_result(directory: Path) -> Result | None:
    """How the run in `directory` ended, or None while it has not."""
    path = directory / RESULT_FILE
    if not path.exists():
        return None
    result = json.loads(path.read_text())
    result["metrics"] = {k: math.inf if v is None else v for k, v in result["metrics"].items()}
    return Result(**result)


def evaluate(program: Program, state: TrainState, split: str) -> dict[str, float]:
    """The metrics over every example of a split, by `split/name`."""
    batches = program.pipelines[split].evaluation_batches(program.evaluation_batch_size)
    return _means([program.evaluation_step(state, batch) for batch in batches], prefix=f"{split}/")


def _means(metrics: list[Metrics], prefix: str) -> dict[str, float]:
    """The exact mean of each metric over all the batches, summed in float64."""
    fetched = jax.device_get(metrics)
    return {
        f"{prefix}{name}": float(
            np.sum([m[name].total for m in fetched], dtype=np.float64)
            / np.sum([m[name].count for m in fetched], dtype=np.float64)
        )
        for name in fetched[0]
    }


def train(
    program: Program,
    seed: int,
    directory: Path,
    observer: Observer = Nobody(),
    should_stop: Callable[[], bool] = lambda: False,
) -> Result:
    """Trains one run to its end, from its newest checkpoint if it has one. A run that has ended is only read.

    Args:
      program: what to train; consumed by no run, so that the next seed can have it.
      seed: of every random number.
      directory: the run's folder; made if need be.
      observer: told of every line of metrics.
      should_stop: asked after every step.

    Raises:
      Interrupted: `should_stop` said yes; the run is saved.
    """
    result = read_result(directory)
    if result is not None:
        return result
    directory.mkdir(parents=True, exist_ok=True)
    with Checkpoints(directory / CHECKPOINT_FOLDER) as checkpoints:
        result = _train(program, seed, directory, checkpoints, observer, should_stop)
    files.write_json(directory / RESULT_FILE, asdict(result))
    return result


def _train(program, seed, directory, checkpoints, observer, should_stop) -> Result:
    config = program.config.train
    began = time.perf_counter()
    pending: list[Metrics] = []  # of the steps since the last line
    if checkpoints.latest_step() is None:
        state, spent, compile_seconds = program.init(seed), 0.0, 0.0
    else:
        state, progress = checkpoints.restore(program.abstract_state)
        pending = _unpack(progress["pending"])
        spent, compile_seconds = progress["seconds"], progress["compile_seconds"]
    first = int(state.step)
    observer.started(first, config.steps)

    def seconds() -> float:
        return spent + time.perf_counter() - began

    with Recorder(directory, first) as recorder:
        window_began, window_first = time.perf_counter(), first
        for step, batch in enumerate(program.pipelines["train"].batches(seed, first, config.steps), start=first + 1):
            state, metrics = program.train_step(state, batch)
            pending.append(metrics)
            if step == first + 1:  # compiles; what comes after is measured
                jax.block_until_ready(metrics)
                compile_seconds = compile_seconds or time.perf_counter() - window_began
                window_began, window_first = time.perf_counter(), step

            last = step == config.steps
            values: dict[str, float] = {}
            if step % config.log_every == 0 or last:
                values = _means(pending, prefix="batch/")
                if not math.isfinite(values["batch/loss"]):
                    diverged = step - len(pending) + 1 + _first_not_finite(pending)
                    recorder.write(step, values)
                    observer.recorded(step, values)
                    return _diverged(program, diverged, seconds(), compile_seconds)
                pending = []
                if step > window_first:
                    step_seconds = (time.perf_counter() - window_began) / (step - window_first)
                    values["speed/step_seconds"] = step_seconds
                    values["speed/examples_per_second"] = config.batch_size / step_seconds
            due = step % config.evaluate_every == 0
            for split in program.pipelines if last else [s for s in program.pipelines if due and s != "train"]:
                values |= evaluate(program, state, split)
            if values:
                recorder.write(step, values)
                observer.recorded(step, values)

            stop = should_stop() and not last
            if step % config.checkpoint_every == 0 or last or stop:
                progress = {"pending": _pack(pending), "seconds": seconds(), "compile_seconds": compile_seconds}
                checkpoints.save(state, progress)
            if stop:
                raise Interrupted(step)
            if values or step % config.checkpoint_every == 0:
                window_began, window_first = time.perf_counter(), step
    return _finished(directory, config.steps, seconds(), compile_seconds)


def _finished(directory: Path, step: int, seconds: float, compile_seconds: float) -> Result:
    lines = read_metrics(directory)
    validated = [line for line in lines if line.get("validation/error") is not None]
    splits = ("train/", "validation/", "test/")

    def of_splits(line: dict[str, Any]) -> dict[str, float]:
        return {k: math.inf if v is None else v for k, v in line.items() if k.startswith(splits)}

    best = min(validated, key=lambda line: line["validation/error"], default=None)
    return Result(
        status="finished",
        step=step,
        metrics=of_splits(lines[-1]),
        best_on_validation={"step": best["step"]} | of_splits(best) if best else {},
        seconds=seconds,
        compile_seconds=compile_seconds,
    )


def _diverged(program: Program, step: int, seconds: float, compile_seconds: float) -> Result:
    metrics = {f"{split}/{name}": value for split in program.pipelines for name, value in _NO_PREDICTION.items()}
    return Result("diverged", step, metrics, seconds=seconds, compile_seconds=compile_seconds)


_NO_PREDICTION = {"loss": math.inf, "error": 1.0}


def _first_not_finite(pending: list[Metrics]) -> int:
    losses = jax.device_get([metrics["loss"].total for metrics in pending])
    return int(np.argmin(np.isfinite(losses)))


def _pack(pending: list[Metrics]) -> list[dict[str, list[float]]]:
    return [{k: [float(m.total), float(m.count)] for k, m in metrics.items()} for metrics in jax.device_get(pending)]


def _unpack(packed: list[dict[str, list[float]]]) -> list[Metrics]:
    return [{k: Mean(np.float32(t), np.float32(c)) for k, (t, c) in metrics.items()} for metrics in packed]
