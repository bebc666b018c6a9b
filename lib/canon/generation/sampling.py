"""Writing a text token by token, each drawn from what a network expects next."""

import functools
from typing import Any

import jax
from flax import linen as nn
from jax import lax
from jax import numpy as jnp

Variables = Any


@functools.partial(jax.jit, static_argnames="model")
def read(model: nn.Module, variables: Variables, tokens: jax.Array) -> tuple[jax.Array, Any]:
    """What the network expects after a text that it reads from its beginning.

    Args:
      model: from tokens and a carry to logits and a carry, as `canon.models.char_rnn.CharRNN`.
      variables: its own.
      tokens: `[batch, time]` int32, at least one each.

    Returns:
      The logits of the next token, `[batch, num_classes]`, and the carry.
    """
    logits, carry = model.apply(variables, tokens, None)
    return logits[:, -1], carry


@functools.partial(jax.jit, static_argnames=("model", "length"))
def sample(
    model: nn.Module,
    variables: Variables,
    logits: jax.Array,
    carry: Any,
    key: jax.Array,
    position: jax.Array,
    temperature: jax.Array,
    length: int,
) -> tuple[jax.Array, jax.Array, Any]:
    """`length` more tokens, in one loop on the device.

    Token n is drawn with `fold_in(key, n)`: how a text is cut into calls changes nothing in it.

    Args:
      model, variables: see `read`.
      logits, carry: as `read` or a former call returned them.
      key: of the whole text.
      position: how many tokens former calls have drawn, int32.
      temperature: by which logits are divided, at least 0: below 1 likely tokens become likelier; at 0 the likeliest is
        always taken.
      length: how many tokens.

    Returns:
      tokens `[batch, length]`, and logits and carry to go on from.
    """

    def step(state: tuple[jax.Array, Any], n: jax.Array) -> tuple[tuple[jax.Array, Any], jax.Array]:
        logits, carry = state
        drawn = jax.random.categorical(jax.random.fold_in(key, n), logits / jnp.maximum(temperature, 1e-6))
        token = jnp.where(temperature > 0, drawn, logits.argmax(axis=-1)).astype(jnp.int32)
        logits, carry = model.apply(variables, token[:, None], carry)
        return (logits[:, -1], carry), token

    (logits, carry), tokens = lax.scan(step, (logits, carry), position + jnp.arange(length))
    return tokens.T, logits, carry
