"""Finding the operation that gave the first value that was not finite, by taking one step operation by operation."""

import copy
import re
import traceback
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from canon.errors import UserError
from canon.training import loop, parallel
from canon.training.checkpoint import Checkpoints
from canon.training.program import build

_PACKAGE = Path(__file__).parents[1]


def operation(config: ConfigDict, seed: int, directory: Path, step: int) -> str:
    """What first gives a value that is not finite in a step of a run, and where it stands in the source.

    The run's steps from its last good checkpoint on are taken again, compiled; the one in question is not compiled, so
    that JAX can look at what every operation gives: first for a value that is no number, then for one that is infinite.

    Args:
      config: of the run; what is not compiled runs on one device, and is built anew for it.
      seed: of the run.
      directory: its folder.
      step: at which it diverged.

    Raises:
      UserError: there is no good checkpoint from before that step.
    """
    program = build(_on_one_device(config))
    state = program.init(seed)
    folder = directory / loop.CHECKPOINT_FOLDER
    if folder.is_dir():
        with Checkpoints(folder) as checkpoints:
            if checkpoints.steps():
                state, _ = checkpoints.restore(program.abstract_state)
    if int(state.step) >= step:
        raise UserError(f"{folder} has no checkpoint from before step {step}")
    for number in range(int(state.step), step - 1):
        state, _ = program.train_step(state, program.pipelines["train"].batch(seed, number))
    batch = program.pipelines["train"].batch(seed, step - 1)
    again = parallel.jit(program.step, program.mesh, batch, deterministic=config.parallel.deterministic)
    _, metrics = again(state, batch)
    if all(np.isfinite(mean.total).all() for mean in jax.device_get(list(metrics.values()))):
        return "this time all that the step gives is finite"
    for look in (jax.debug_nans, jax.debug_infs):
        try:
            with look(True), jax.disable_jit():
                program.step(state, batch)
        except FloatingPointError as error:
            return _describe(error)
    return "no operation, taken one by one, gives such a value: it comes of the order in which the compiled step sums"


def _on_one_device(config: ConfigDict) -> ConfigDict:
    config = copy.deepcopy(config)
    with config.unlocked():
        config.parallel.update(devices=1, step="jit", micro_batches=1, batch_statistics="global", seeds="sequential")
    return config.lock()


def _describe(error: FloatingPointError) -> str:
    found = re.search(r"invalid value \((\w+)\) encountered in ([\w./-]+)", str(error))
    kind, name = found.groups() if found else ("value", "an operation")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _PACKAGE in Path(frame.filename).parents]
    inner = [frame for frame in frames if Path(frame.filename) != Path(__file__)]
    where = f", in {inner[-1].name} ({Path(inner[-1].filename).name}:{inner[-1].lineno})" if inner else ""
    return f"{kind} first comes from {name}{where}"
