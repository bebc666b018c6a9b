"""What the verbs for models of texts need of a run: its model, its parameters, what its tokens mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from canon import config_identity, models
from canon.data.text import Vocabulary
from canon.data.words import WordVocabulary
from canon.errors import UserError
from canon.study import workdir
from canon.study.workdir import Vocabularies
from canon.training.checkpoint import Checkpoints
from canon.training.loop import CHECKPOINT_FOLDER

Variables = Any


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
    variables: Variables
    vocabulary: Vocabulary


@dataclass(frozen=True)
class TranslationRun:
    """A trained translator.

    Attributes:
      config, model, variables: see `TextRun`.
      source: the words that it reads.
      target: those that it writes.
    """

    config: ConfigDict
    model: nn.Module
    variables: Variables
    source: WordVocabulary
    target: WordVocabulary


def load(directory: Path) -> TextRun:
    """The run in a folder; the text that it learned is not needed. Raises `UserError` where there is none of a text."""
    config, vocabularies = _read(directory, "language_model", "a text", ("characters",))
    vocabulary = Vocabulary(vocabularies["characters"])
    model = models.create(**config.model, num_classes=len(vocabulary))
    return TextRun(config, model, _variables(directory, config, model, np.zeros((1, 1), np.int32)), vocabulary)


def load_translation(directory: Path) -> TranslationRun:
    """The run in a folder; its sentences are not needed. Raises `UserError` where there is none of a translator."""
    config, vocabularies = _read(directory, "translation", "pairs of sentences", ("source", "target"))
    source, target = WordVocabulary(vocabularies["source"]), WordVocabulary(vocabularies["target"])
    model = models.create(**config.model, num_classes=len(target), num_source_classes=len(source))
    one = np.zeros((1, 1), np.int32)
    variables = _variables(directory, config, model, one, np.ones(1, np.int32), one)
    return TranslationRun(config, model, variables, source, target)


def _read(directory: Path, task: str, of: str, names: tuple[str, ...]) -> tuple[ConfigDict, Vocabularies]:
    _, _, config = workdir.read_run_config(directory)
    if config.task != task:
        raise UserError(f"{directory} is no run of {of}: its config.task is {config.task}")
    if not (directory / CHECKPOINT_FOLDER).is_dir():
        raise UserError(f"{directory} has no checkpoint yet")
    vocabularies = workdir.read_vocabularies(directory)
    if set(vocabularies) != set(names):
        raise UserError(f"{directory / workdir.TEXT_FILE} has the vocabularies of another kind of run")
    return config, vocabularies


def _variables(directory: Path, config: ConfigDict, model: nn.Module, *inputs: np.ndarray) -> Variables:
    """Of the newest checkpoint, if it is the model's, and a network that can say something."""
    checkpoints = directory / CHECKPOINT_FOLDER
    with Checkpoints(checkpoints, config_identity.digest(config)) as kept:
        params = kept.restore_params()
    expected = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    if jax.tree.map(jax.numpy.shape, params) != jax.tree.map(jax.numpy.shape, expected):
        raise UserError(
            f"the checkpoint in {checkpoints} holds another network than the config and the vocabulary in "
            f"{directory / workdir.TEXT_FILE} say"
        )
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise UserError(f"the network in {checkpoints} has parameters that are not finite: its training diverged")
    return {"params": params}
