"""A task: a model and a loss, as one pure function of parameters and a batch."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon import losses
from canon.analysis import activity
from canon.analysis.activity import ACTIVITY
from canon.training.metrics import Mean, Metrics, classification_error

Variables = Any

AUXILIARY_LOGITS = "auxiliary_logits"
"""The collection into which a model sows the logits of its auxiliary classifiers, in training."""


CARRY = "carry"
"""Where a task that remembers has in `model_state` what a batch leaves for the next; the first axis is the batch's."""


class Task(Protocol):
    """What a training step needs to know about what is learned."""

    def init(self, key: jax.Array, batch: dict[str, jax.Array]) -> tuple[Variables, Variables]:
        """(params, model_state) before the first step; `model_state` has a `CARRY` where the task remembers."""
        ...

    def loss(
        self, params: Variables, model_state: Variables, batch: dict[str, jax.Array], key: jax.Array | None, train: bool
    ) -> tuple[jax.Array, tuple[Variables, Metrics]]:
        """(loss, (model_state, metrics)); the loss is the mean over the examples that the batch's mask leaves in."""
        ...


@dataclass(frozen=True)
class Classification:
    """Images, or other inputs, to one of several classes; with other losses and errors, to whatever labels are.

    Attributes:
      model: from images `[batch, height, width, channels]`, or `inputs`, to logits `[batch, num_classes]`.
      loss_function: from logits and labels to a loss per example, `[batch]`.
      error_function: from logits and labels to the error of each example, 0 to 1, `[batch]`.
      auxiliary_weight: of the loss of each auxiliary classifier that the model has, in training: Szegedy et al. 2014,
        section 5. The metrics are of the network's own output.
      inputs: what of a batch the model is given, in this order.
      watch_activity: add the shares of flat and dead units to the metrics of training; see `canon.analysis.activity`.

    An evaluation may see several crops of each image, `[batch, crops, height, width, channels]`: then the prediction is
    the mean of the crops' probabilities (Krizhevsky et al. 2012, section 4.1).
    """

    model: nn.Module
    loss_function: Callable[[jax.Array, jax.Array], jax.Array] = losses.softmax_cross_entropy
    error_function: Callable[[jax.Array, jax.Array], jax.Array] = classification_error
    auxiliary_weight: float = 0.3
    watch_activity: bool = False
    inputs: tuple[str, ...] = ("image",)

    def init(self, key: jax.Array, batch: dict[str, jax.Array]) -> tuple[Variables, Variables]:
        variables = dict(self.model.init(key, *(batch[name][:1] for name in self.inputs)))
        return variables.pop("params"), variables

    def loss(
        self, params: Variables, model_state: Variables, batch: dict[str, jax.Array], key: jax.Array | None, train: bool
    ) -> tuple[jax.Array, tuple[Variables, Metrics]]:
        variables = {"params": params, **model_state}
        if train:
            collections = [*model_state, AUXILIARY_LOGITS, *([ACTIVITY] if self.watch_activity else [])]
            with activity.watching() if self.watch_activity else contextlib.nullcontext():
                logits, model_state = self.model.apply(
                    variables,
                    *(batch[name] for name in self.inputs),
                    train=True,
                    rngs={"dropout": key},
                    mutable=collections,
                )
        else:
            logits = self._predict(variables, *(batch[name] for name in self.inputs))
        auxiliary = model_state.get(AUXILIARY_LOGITS, {}) if train else {}
        shares = activity.shares(model_state) if train and ACTIVITY in model_state else {}
        model_state = {name: v for name, v in model_state.items() if name not in (AUXILIARY_LOGITS, ACTIVITY)}
        mask = batch.get("mask")
        loss = Mean.of(self.loss_function(logits, batch["label"]), mask)
        error = Mean.of(self.error_function(logits, batch["label"]), mask)
        objective = loss.compute()
        for its_logits in auxiliary.values():
            objective += self.auxiliary_weight * Mean.of(self.loss_function(its_logits, batch["label"]), mask).compute()
        watched = {name: Mean.of(share) for name, share in shares.items()}
        return objective, (model_state, {"loss": loss, "error": error} | watched)

    def _predict(self, variables: Variables, images: jax.Array, *others: jax.Array) -> jax.Array:
        if images.ndim != 5:
            return self.model.apply(variables, images, *others, train=False)
        batch, crops = images.shape[:2]
        logits = self.model.apply(variables, images.reshape(batch * crops, *images.shape[2:]), train=False)
        probabilities = jax.nn.softmax(logits.reshape(batch, crops, -1))
        return jnp.log(jnp.maximum(probabilities.mean(axis=1), jnp.finfo(probabilities.dtype).tiny))
