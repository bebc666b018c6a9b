"""The loop: batch, step, and every so often a line of metrics, an evaluation, a checkpoint. All side effects are here.

What it records, by key: `batch/…` are means over the mini-batches since the last line, as the network trains;
`validation/…` and `test/…`, and at the last step `train/…`, are over a whole split, as the network predicts; `speed/…`
is without the run's own compiling, evaluating and saving; what goes on beside it, such as other seeds, slows it.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import jax

from canon import config_identity, hosts, lock
from canon.errors import UserError
from canon.training import device, environment, measures, parallel
from canon.training.checkpoint import Checkpoints
from canon.training.metrics import means
from canon.training.profile import Profile
from canon.training.program import Program
from canon.training.recorder import METRICS_FILE, Recorder, Silent, read_metrics
from canon.training.result import Result, diverged, finished, reached, read_result, write_result
from canon.training.state import TrainState
from canon.training.step import TrainStep
from canon.training.stopwatch import Stopwatch
from canon.training.window import NotFinite, Window

CHECKPOINT_FOLDER = "checkpoints"
BEST_FOLDER = "best"
"""Where the checkpoint with the lowest validation error is."""


class Interrupted(Exception):  # noqa: N818  it is no error
    """The run was asked to stop, and saved itself at `step`."""

    def __init__(self, step: int):
        super().__init__(f"stopped at step {step}")
        self.step = step


class Observer(Protocol):
    """Someone who watches a run."""

    def started(self, step: int, steps: int) -> None:
        """The run begins at `step` of `steps`; its next step may have to be compiled."""

    def evaluating(self, step: int, split: str, examples: int) -> None:
        """A whole split is evaluated next, which may take a while."""

    def recorded(self, step: int, values: dict[str, float]) -> None:
        """A line of metrics was written."""

    def noted(self, text: str) -> None:
        """Something that a person should know, such as that a checkpoint is damaged."""


class Nobody:
    """An observer that looks away."""

    def started(self, step: int, steps: int) -> None: ...

    def evaluating(self, step: int, split: str, examples: int) -> None: ...

    def recorded(self, step: int, values: dict[str, float]) -> None: ...

    def noted(self, text: str) -> None: ...


Asleep = Callable[[], AbstractContextManager]
"""What a run enters while it only waits, for the device or for the disk: then another one may be awake."""


def evaluate(
    program: Program, state: TrainState, split: str, asleep: Asleep = contextlib.nullcontext
) -> dict[str, float]:
    """The metrics over every example of a split, by `split/name`."""
    batch_size = program.evaluation_batch_size(split)
    state, metrics = state.forget(batch_size), []
    for batch in program.pipelines[split].evaluation_batches(batch_size):
        of_batch, carry = program.evaluation_step(state, batch)
        state = state.replace(carry=carry)
        metrics.append(of_batch)
    with asleep():
        jax.block_until_ready(metrics)
    values = means(metrics, prefix=f"{split}/")
    values |= program.derive(values)
    if split != "train":
        variables = {"params": state.params, **state.model_state}
        measured = program.measure(variables, split, batch_size)
        values |= {f"{split}/{name}": value for name, value in measured.items()}
    return values


def train(
    program: Program,
    seed: int,
    directory: Path,
    observer: Observer = Nobody(),
    should_stop: Callable[[], bool] = lambda: False,
    profile: Profile | None = None,
    train_step: TrainStep | None = None,
    asleep: Asleep = contextlib.nullcontext,
) -> Result:
    """Trains one run to its end, from its newest checkpoint if it has one. A run that has ended is only read.

    Where several processes train it, the first one writes, and all return what it has written.

    Args:
      program: what to train; the run does not use it up, so that the next seed can have it.
      seed: of every random number.
      directory: the run's folder; made if need be.
      observer: told of every line of metrics.
      should_stop: asked after every step.
      profile: of some of the steps, where one is wanted.
      train_step: in place of the program's own, where other runs take theirs with it.
      asleep: see `Asleep`.

    Raises:
      Interrupted: `should_stop` said yes; the run is saved.
      UserError: another process trains it, or none of its checkpoints is whole.
      OSError: the disk does not take what is to be written.
    """
    result = read_result(directory)
    if result is None:
        directory.mkdir(parents=True, exist_ok=True)
        config = program.config
        identity = config_identity.digest(config)
        with lock.held(directory) if hosts.is_first() else contextlib.nullcontext():
            with (
                Checkpoints(directory / CHECKPOINT_FOLDER, identity, config.train.keep_checkpoints) as checkpoints,
                Checkpoints(directory / BEST_FOLDER, identity, keep=1)
                if "validation" in program.pipelines and config.train.keep_best
                else contextlib.nullcontext() as best,
                hosts.ending_with_others(),
            ):
                take = train_step or program.train_step
                kept = checkpoints, best
                result = _train(program, take, seed, directory, *kept, observer, should_stop, profile, asleep)
                with asleep():
                    checkpoints.wait()
            if result is not None:  # the last checkpoint is written
                versions, hardware = environment.versions(), environment.hardware(program.devices)
                write_result(directory, replace(result, versions=versions, hardware=hardware))
        hosts.wait_for_all("the end of a run")
        result = read_result(directory)
        if result is None:
            raise UserError(f"{directory} holds no result here: the workdir has to lie where all processes see it")
    return result


def _train(
    program: Program,
    train_step: TrainStep,
    seed: int,
    directory: Path,
    checkpoints: Checkpoints,
    best: Checkpoints | None,
    observer: Observer,
    should_stop: Callable[[], bool],
    profile: Profile | None,
    asleep: Asleep,
) -> Result | None:
    """The result, in the first process."""
    config = program.config.train
    began = time.perf_counter()
    hosts.check_same("checkpoints", str(checkpoints.latest_step()))
    steps = min(config.steps, config.give_up_after or config.steps)
    if checkpoints.latest_step() is None:
        progress = {"window": [], "lines": 0, "seconds": 0.0, "compile_seconds": 0.0, "parts": {}}
        watch = Stopwatch()
        observer.started(0, steps)
        with watch.of("compile"), device.explaining_memory(program.config):
            state = program.init(seed)
    else:
        state, progress = checkpoints.restore(program.abstract_state, observer.noted)
        if int(state.seed) != seed:
            raise UserError(f"the checkpoints in {directory} are those of seed {int(state.seed)}, not of seed {seed}")
        watch = Stopwatch(progress["parts"])
        observer.started(int(state.step), steps)
    first, compile_seconds = int(state.step), progress["compile_seconds"]

    # What is computed on several devices is on its way alone: see `parallel.is_concurrent`.
    waiting = asleep if parallel.is_concurrent(program.config.parallel, program.mesh) else contextlib.nullcontext

    def seconds() -> float:
        return progress["seconds"] + time.perf_counter() - began

    with (
        Recorder(directory, first) if hosts.is_first() else Silent() as recorder,
        contextlib.closing(profile) if profile else contextlib.nullcontext(),
    ):
        if hosts.is_first() and recorder.lines != progress["lines"]:
            raise UserError(
                f"{directory / METRICS_FILE} has {recorder.lines} lines up to step {first}, and had "
                f"{progress['lines']}; remove the run's folder to train it again"
            )
        if best is not None:
            best.forget_after(first)
        window = Window(first, progress["window"])
        target = config.target_error if config.stop_at_target else 0.0
        # A launch that was killed as it ended, at its target, has nothing left to train.
        ended = hosts.first_says(bool(target and reached(read_metrics(directory), target)))
        batches = program.pipelines["train"].batches(seed, first, first if ended else steps)
        step, compiled = first, set()
        lowest = min(_validation_errors(read_metrics(directory)), default=math.inf)

        def lost(not_finite: NotFinite) -> Result | None:
            """The result of a run that has diverged, in the first process; its last checkpoint was good."""
            if not hosts.is_first():
                return None
            leaf = [] if not_finite.leaf is None else [program.leaf(not_finite.leaf)]
            what = ", ".join(["loss"] * not_finite.loss + leaf)
            lines = read_metrics(directory)
            result = diverged(not_finite.step, lines, program.pipelines, seconds(), compile_seconds, config, what)
            result = replace(result, parts=watch.seconds)
            of_task = measures.worst(program.config.task).items()
            worst = {f"{s}/{name}": value for s in program.pipelines if s != "train" for name, value in of_task}
            return replace(result, metrics=result.metrics | program.derive(result.metrics) | worst)

        for step, batch in enumerate(watch.waiting(batches), start=first + 1):
            shapes = tuple(jax.numpy.shape(leaf) for leaf in jax.tree.leaves(batch))
            is_new = shapes not in compiled  # each has a program of its own
            if profile:
                profile.before(step, directory, state)
            with (
                watch.of("compile" if is_new else "step"),
                jax.profiler.StepTraceAnnotation("train", step_num=step),
                device.explaining_memory(program.config),
            ):
                state, metrics = train_step(state, batch)
                if is_new:
                    jax.block_until_ready(metrics)
            window.add(metrics)
            if is_new:
                compiled.add(shapes)
                compile_seconds = compile_seconds or seconds()
                window.restart_clock(step)
            if profile:
                profile.after(step, metrics)

            last = step == steps
            values: dict[str, float] = {}
            not_finite = None
            if last or step % config.log_every == 0:
                with watch.of("step"), device.explaining_memory(program.config):
                    with waiting():
                        jax.block_until_ready(metrics)
                    values, not_finite = window.close(step, config.batch_size)
                values |= program.derive(values) | device.memory()
                if "speed/step_seconds" in values:
                    values |= device.speed(program.multiply_adds, values["speed/step_seconds"], program.devices)
                last = last or bool(target and values["batch/error"] <= target)
            if not_finite is None and (last or step % config.evaluate_every == 0):
                for split in program.pipelines:
                    if last or split != "train":
                        observer.evaluating(step, split, program.pipelines[split].size)
                        with watch.of("evaluate"), device.explaining_memory(program.config, evaluating=True):
                            values |= evaluate(program, state, split, waiting)
                window.restart_clock(step)
            if values:
                recorder.write(step, values)
                observer.recorded(step, values)
            if not_finite is not None:
                return lost(not_finite)

            stop = should_stop() and not last
            is_validated = best is not None and "validation/error" in values
            is_best = is_validated and hosts.first_says(values["validation/error"] < lowest)
            # What is not finite is not saved. The run goes on to its next line, which says that it is lost; or back to
            # its last good checkpoint.
            is_due = stop or last or is_best or step % config.checkpoint_every == 0
            if is_due and window.not_finite(step) is None:
                with watch.of("save"):
                    timed = {"seconds": seconds(), "compile_seconds": compile_seconds, "parts": dict(watch.seconds)}
                    with_it = {"window": window.pack(), "lines": recorder.lines} | timed
                    recorder.sync()
                    if is_best:  # it is there before the run could go on from this step, which would not save it again
                        lowest = values["validation/error"]
                        best.save(state, with_it)
                        best.wait()
                    if stop or last or step % config.checkpoint_every == 0:
                        checkpoints.save(state, with_it)
                    if stop:
                        checkpoints.wait()
                window.restart_clock(step)
            if stop:
                raise Interrupted(step)
            if last:
                break
    if not hosts.is_first():
        return None
    result = finished(step, read_metrics(directory), seconds(), compile_seconds, config)
    return replace(result, parts=watch.seconds)


def _validation_errors(lines: Iterable[dict[str, Any]]) -> list[float]:
    return [line["validation/error"] for line in lines if line.get("validation/error") is not None]
