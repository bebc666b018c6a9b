"""What the verbs for trained character models need of a run: its model, its parameters, its characters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from canon import models
from canon.data.text import Vocabulary
from canon.errors import UserError
from canon.study import workdir
from canon.training.checkpoint import Checkpoints
from canon.training.loop import CHECKPOINT_FOLDER


@dataclass(frozen=True)
class TextRun:
    """A trained character model.

    Attributes:
      config: of the run.
      model: the network.
      variables: its own, of the newest checkpoint.
      vocabulary: what its tokens mean.
    """

    config: ConfigDict
    model: nn.Module
    variables: Any
    vocabulary: Vocabulary


def load(directory: Path) -> TextRun:
    """The run in a folder; the text that it learned is not needed. Raises `UserError` where there is none of a text."""
    _, _, config = workdir.read_run_config(directory)
    if config.task != "language_model":
        raise UserError(f"{directory} is no run of a text: its config.task is {config.task}")
    checkpoints = directory / CHECKPOINT_FOLDER
    if not checkpoints.is_dir():
        raise UserError(f"{directory} has no checkpoint yet")
    vocabulary = workdir.read_vocabulary(directory)
    model = models.create(**config.model, num_classes=len(vocabulary))
    with Checkpoints(checkpoints) as kept:
        params = kept.restore_params()
    expected = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 1), jax.numpy.int32))["params"]
    if jax.tree.map(jax.numpy.shape, params) != jax.tree.map(jax.numpy.shape, expected):
        raise UserError(
            f"the checkpoint in {checkpoints} holds another network than the config and the {len(vocabulary)} "
            f"characters of {directory / workdir.TEXT_FILE} say"
        )
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise UserError(f"the network in {checkpoints} has parameters that are not finite: its training diverged")
    return TextRun(config, model, {"params": params}, vocabulary)
