"""The most likely answer of a network that writes token by token: greedily, or by beam search; one loop on the device.

A model has two methods: `encode(*inputs)` to a memory, any pytree of arrays `[batch, ...]`, and
`decode(tokens [batch, 1], memory)` to logits `[batch, 1, num_classes]` and the memory after them.
"""

import functools
from typing import Any

import jax
from flax import linen as nn
from jax import lax
from jax import numpy as jnp

from canon.errors import UserError

Variables = Any


def _check(most: int, beams: int) -> None:
    if min(most, beams) < 1:
        raise UserError(f"decoding takes most and beams of at least 1, not {most} and {beams}")


def length_penalty(length: jax.Array, alpha: float | jax.Array) -> jax.Array:
    """((5 + length) / 6)^α, by which the log-probability of an answer is divided: Wu et al. 2016, equation 14.

    Without it, α = 0, short answers win: each further token can only lower the log-probability.
    """
    return ((5.0 + length) / 6.0) ** alpha


MOST_BEAMS = 1000


def decode(
    model: nn.Module,
    variables: Variables,
    inputs: tuple[jax.Array, ...],
    bos: int,
    eos: int,
    most: int,
    beams: int,
    alpha: float | jax.Array = 1.0,
) -> tuple[jax.Array, jax.Array]:
    """`beam_search`, or `greedy` where `beams` is 1, with the shapes and the scores of the former."""
    if beams > 1:
        return beam_search(model, variables, inputs, bos, eos, most, beams, alpha)
    tokens, score = greedy(model, variables, inputs, bos, eos, most)
    length = jnp.minimum((tokens != eos).sum(axis=1) + 1, most).astype(jnp.float32)
    return tokens[:, None], (score / length_penalty(length, alpha))[:, None]


@functools.partial(jax.jit, static_argnames=("model", "bos", "eos", "most"))
def greedy(
    model: nn.Module, variables: Variables, inputs: tuple[jax.Array, ...], bos: int, eos: int, most: int
) -> tuple[jax.Array, jax.Array]:
    """At each step the likeliest token, until `eos`.

    Args:
      model, variables: see above.
      inputs: what `encode` takes, each `[batch, ...]`.
      bos: the token that begins an answer; it is no part of it.
      eos: the token that ends one.
      most: tokens of an answer at most, `eos` among them.

    Returns:
      tokens `[batch, most]`, `eos` from each answer's end on, and the log-probability of each `[batch]`.

    Raises:
      UserError: `most` is below 1.
    """
    _check(most, 1)
    memory = model.apply(variables, *inputs, method="encode")
    batch = len(inputs[0])

    def step(state):
        n, last, ended, score, tokens, memory = state
        logits, memory = model.apply(variables, last[:, None], memory, method="decode")
        log_probabilities = nn.log_softmax(logits[:, 0])
        chosen = jnp.where(ended, eos, log_probabilities.argmax(axis=-1)).astype(jnp.int32)
        gain = jnp.take_along_axis(log_probabilities, chosen[:, None], axis=-1)[:, 0]
        score += jnp.where(ended, 0.0, gain.astype(jnp.float32))
        return n + 1, chosen, ended | (chosen == eos), score, tokens.at[:, n].set(chosen), memory

    state = (
        jnp.int32(0),
        jnp.full(batch, bos, jnp.int32),
        jnp.zeros(batch, bool),
        jnp.zeros(batch, jnp.float32),
        jnp.full((batch, most), eos, jnp.int32),
        memory,
    )
    _, _, _, score, tokens, _ = lax.while_loop(lambda s: (s[0] < most) & ~s[2].all(), step, state)
    return tokens, score


@functools.partial(jax.jit, static_argnames=("model", "bos", "eos", "most", "beams"))
def beam_search(
    model: nn.Module,
    variables: Variables,
    inputs: tuple[jax.Array, ...],
    bos: int,
    eos: int,
    most: int,
    beams: int,
    alpha: float | jax.Array = 1.0,
) -> tuple[jax.Array, jax.Array]:
    """The likeliest of the answers that a search of limited width finds: Sutskever et al. 2014, section 3.2.

    At each step it goes on from the `beams` likeliest beginnings; one that ends leaves them, and joins the complete
    answers, of which the `beams` best are kept, by log-probability over `length_penalty`. It ends when no beginning can
    become better than those, or after `most` tokens; where there is no complete answer then, the beginnings count.

    Args:
      model, variables, inputs, bos, eos, most: see `greedy`.
      beams: the search's width. With 1 it may go on after the greedy answer's end, and find a better one.
      alpha: of the length penalty, at least 0.

    Returns:
      tokens `[batch, beams, most]`, best first, `eos` from each answer's end on, and their log-probabilities over the
      penalty, `[batch, beams]`: −∞ where there are not so many.

    Raises:
      UserError: `most` or `beams` is below 1.
    """
    _check(most, beams)
    batch = len(inputs[0])
    memory = model.apply(variables, *inputs, method="encode")
    memory = jax.tree.map(lambda a: jnp.repeat(a, beams, axis=0), memory)
    rows = jnp.arange(batch)[:, None]

    def step(state):
        n, alive, alive_score, done, done_score, memory = state
        last = jnp.where(n > 0, alive[:, :, jnp.maximum(n - 1, 0)], bos)
        logits, memory = model.apply(variables, last.reshape(-1, 1), memory, method="decode")
        log_probabilities = nn.log_softmax(logits[:, 0]).reshape(batch, beams, -1)
        classes = log_probabilities.shape[-1]
        scores = alive_score[:, :, None] + log_probabilities
        # Twice as many as there are beams: each beginning can end in one way only, so that enough of them go on.
        score, index = lax.top_k(scores.reshape(batch, -1), min(2 * beams, beams * classes))
        beam, token = index // classes, (index % classes).astype(jnp.int32)
        candidates = alive[rows, beam].at[:, :, n].set(token)
        ends = token == eos

        ended_score = jnp.where(ends, score / length_penalty(n.astype(jnp.float32) + 1.0, alpha), -jnp.inf)
        done_score, kept = lax.top_k(jnp.concatenate([done_score, ended_score], axis=1), beams)
        done = jnp.concatenate([done, candidates], axis=1)[rows, kept]

        alive_score, kept = lax.top_k(jnp.where(ends, -jnp.inf, score), beams)
        alive, beam = candidates[rows, kept], beam[rows, kept]
        memory = jax.tree.map(lambda a: a[(rows * beams + beam).reshape(-1)], memory)
        return n + 1, alive, alive_score, done, done_score, memory

    def can_improve(state):
        n, _, alive_score, _, done_score, _ = state
        # A log-probability only falls, and is divided by no more than the penalty of the longest answer.
        bound = alive_score.max(axis=1) / length_penalty(jnp.asarray(most, jnp.float32), alpha)
        return (n < most) & (done_score.min(axis=1) < bound).any()

    nothing = jnp.full((batch, beams, most), eos, jnp.int32)
    # All beams begin alike: but for one of them they are not there yet.
    alive_score = jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf) * jnp.ones((batch, 1))
    state = (jnp.int32(0), nothing, alive_score, nothing, jnp.full((batch, beams), -jnp.inf), memory)
    n, alive, alive_score, done, done_score, _ = lax.while_loop(can_improve, step, state)
    none_ended = jnp.isneginf(done_score).all(axis=1)
    alive_score /= length_penalty(n.astype(jnp.float32), alpha)
    return (
        jnp.where(none_ended[:, None, None], alive, done),
        jnp.where(none_ended[:, None], alive_score, done_score),
    )
