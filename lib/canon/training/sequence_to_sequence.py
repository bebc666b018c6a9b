"""The task of a network that writes sequences: to predict each next token of the right one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from canon import losses
from canon.training.metrics import Mean, Metrics, classification_error

Variables = Any


@dataclass(frozen=True)
class SequenceToSequence:
    """Any input to a sequence, by teacher forcing: whatever the network would have written, it goes on from the truth.

    A batch has what the model is given, `tokens` and `targets` `[batch, time]` int32, each target the token after, and
    `mask` `[batch, time]`. The loss is divided by the number of tokens where the mask is not 0, so that filling counts
    nowhere; the error is the share of those tokens that are not the likeliest.

    Attributes:
      model: from inputs and tokens to logits `[batch, time, num_classes]`.
      inputs: what of a batch the model is given before `tokens`, in this order.
      loss_function: from logits and targets to a loss per token, `[batch, time]`.
    """

    model: nn.Module
    inputs: tuple[str, ...]
    loss_function: Callable[[jax.Array, jax.Array], jax.Array] = losses.softmax_cross_entropy

    def init(self, key: jax.Array, batch: dict[str, jax.Array]) -> tuple[Variables, Variables]:
        variables = dict(self.model.init(key, *(batch[name][:1] for name in (*self.inputs, "tokens"))))
        return variables.pop("params"), variables

    def loss(
        self, params: Variables, model_state: Variables, batch: dict[str, jax.Array], key: jax.Array | None, train: bool
    ) -> tuple[jax.Array, tuple[Variables, Metrics]]:
        rngs = {"dropout": key} if train else {}
        given = (batch[name] for name in (*self.inputs, "tokens"))
        logits = self.model.apply({"params": params, **model_state}, *given, train=train, rngs=rngs)
        loss = Mean.of(self.loss_function(logits, batch["targets"]), batch["mask"])
        error = Mean.of(classification_error(logits, batch["targets"]), batch["mask"])
        return loss.compute(), (model_state, {"loss": loss, "error": error})
