"""The task of a language model: to predict each next token of a text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon import losses
from canon.training.metrics import Mean, Metrics, classification_error
from canon.training.perplexity import bits_per_character, perplexity
from canon.training.task import CARRY

Variables = Any


def derive(values: dict[str, float]) -> dict[str, float]:
    """Perplexity and bits per character for every loss among the values: `test/perplexity` of `test/loss`."""
    return perplexity(values) | bits_per_character(values)


@dataclass(frozen=True)
class LanguageModel:
    """Texts, chunk by chunk.

    A batch is that of a `canon.data.text_pipeline.TextPipeline`. What the network carries from the end of a chunk to
    the beginning of the next is an input there: no gradient goes back through it, which truncates back-propagation
    through time to a chunk (Werbos 1990; Williams and Peng 1990).

    Attributes:
      model: from tokens `[batch, time]` and a carry to logits `[batch, time, num_classes]` and a carry.
      loss_function: from logits and targets to a loss per token, `[batch, time]`.
      hand_on_carry: from chunk to chunk; else each begins from nothing, in evaluations too.
    """

    model: nn.Module
    loss_function: Callable[[jax.Array, jax.Array], jax.Array] = losses.softmax_cross_entropy
    hand_on_carry: bool = True

    def init(self, key: jax.Array, batch: dict[str, jax.Array]) -> tuple[Variables, Variables]:
        variables = dict(self.model.init(key, batch["tokens"][:1, :1]))
        return variables.pop("params"), variables | {CARRY: self.model.initial_carry(len(batch["tokens"]))}

    def loss(
        self, params: Variables, model_state: Variables, batch: dict[str, jax.Array], key: jax.Array | None, train: bool
    ) -> tuple[jax.Array, tuple[Variables, Metrics]]:
        model_state = dict(model_state)
        carry = model_state.pop(CARRY)
        begins = batch["begins"][:, None] | (not self.hand_on_carry)
        carry = jax.tree.map(lambda a: jnp.where(begins, jnp.zeros((), a.dtype), a), carry)
        rngs = {"dropout": key} if train else {}
        logits, carry = self.model.apply(
            {"params": params, **model_state}, batch["tokens"], carry, train=train, rngs=rngs
        )
        mask = batch.get("mask")
        loss = Mean.of(self.loss_function(logits, batch["targets"]), mask)
        error = Mean.of(classification_error(logits, batch["targets"]), mask)
        return loss.compute(), (model_state | {CARRY: carry}, {"loss": loss, "error": error})
