"""A task: a model and a loss, as one pure function of parameters and a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
from flax import linen as nn

from canon import losses
from canon.training.metrics import Mean, Metrics, classification_error

Variables = Any


class Task(Protocol):
    """What a training step needs to know about what is learned."""

    def init(self, key: jax.Array, batch: dict[str, jax.Array]) -> tuple[Variables, Variables]:
        """(params, model_state) before the first step."""
        ...

    def loss(
        self, params: Variables, model_state: Variables, batch: dict[str, jax.Array], key: jax.Array | None, train: bool
    ) -> tuple[jax.Array, tuple[Variables, Metrics]]:
        """(loss, (model_state, metrics)); the loss is the mean over the examples that the batch's mask leaves in."""
        ...


@dataclass(frozen=True)
class Classification:
    """Images to one of several classes.

    Attributes:
      model: from images `[batch, height, width, channels]` to logits `[batch, num_classes]`.
      loss_function: from logits and labels to a loss per example, `[batch]`.
    """

    model: nn.Module
    loss_function: Callable[[jax.Array, jax.Array], jax.Array] = losses.softmax_cross_entropy

    def init(self, key: jax.Array, batch: dict[str, jax.Array]) -> tuple[Variables, Variables]:
        variables = dict(self.model.init(key, batch["image"][:1]))
        return variables.pop("params"), variables

    def loss(
        self, params: Variables, model_state: Variables, batch: dict[str, jax.Array], key: jax.Array | None, train: bool
    ) -> tuple[jax.Array, tuple[Variables, Metrics]]:
        variables = {"params": params, **model_state}
        if train:
            logits, model_state = self.model.apply(
                variables, batch["image"], train=True, rngs={"dropout": key}, mutable=list(model_state)
            )
        else:
            logits = self.model.apply(variables, batch["image"], train=False)
        mask = batch.get("mask")
        loss = Mean.of(self.loss_function(logits, batch["label"]), mask)
        error = Mean.of(classification_error(logits, batch["label"]), mask)
        return loss.compute(), (model_state, {"loss": loss, "error": error})
