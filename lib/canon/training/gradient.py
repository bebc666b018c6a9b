"""The gradient of a task over a batch, and what computes the same one in parts: micro-batches, or devices.

The parts of a batch may count unequally many examples or tokens, where a mask leaves some out. Each part's mean is
weighed by what it counts, so that the sum is the gradient of the mean over the whole batch.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from canon.layers import normalization
from canon.training.metrics import Metrics
from canon.training.task import CARRY, Task, Variables

Batch = dict[str, jax.Array]

Gradient = Callable[[Variables, Variables, Batch, jax.Array], tuple[Variables, jax.Array, Variables, Metrics]]
"""(params, task_state, batch, key) -> (gradient, objective, task_state, metrics), in training.

The objective, of which it is the gradient, is a mean over what `metrics["loss"]` counts.
"""


def of_task(task: Task) -> Gradient:
    """The gradient over a batch in one part."""

    def gradient(params: Variables, task_state: Variables, batch: Batch, key: jax.Array):
        value_and_gradient = jax.value_and_grad(task.loss, has_aux=True)
        (objective, (task_state, metrics)), found = value_and_gradient(params, task_state, batch, key, train=True)
        return found, objective, task_state, metrics

    return gradient


def accumulate(gradient: Gradient, parts: int, unroll: bool) -> Gradient:
    """The same gradient from micro-batches, one after another, in the memory of one.

    Micro-batch j has the rows j, j + parts, j + 2 parts, ...: of a batch that is split over devices, as many of each.
    Batch normalisation sees micro-batches, and its running statistics move once for each; dropout draws for each anew.

    Args:
      gradient: over a batch.
      parts: how many micro-batches; they divide the batch. At 1 this is the identity.
      unroll: leave no loop in the program. On a CPU the gradient of a convolution is 30 to 80 times slower in one.
    """
    if parts == 1:
        return gradient

    def accumulated(params: Variables, task_state: Variables, batch: Batch, key: jax.Array):
        model_state, carry = _split(task_state)

        def part(model_state: Variables, number: jax.Array, batch: Batch, carry: Variables):
            its_key = jax.random.fold_in(key, number)
            found, objective, task_state, metrics = gradient(params, model_state | carry, batch, its_key)
            return *_split(task_state), _weighed(found, objective, metrics)

        def add(before, at):
            model_state, sums = before
            model_state, carry, its_sums = part(model_state, *at)
            return (model_state, jax.tree.map(jnp.add, sums, its_sums)), carry

        parts_of = jnp.arange(parts), *(jax.tree.map(lambda a: _cut(a, parts), tree) for tree in (batch, carry))
        shapes = jax.eval_shape(part, model_state, *jax.tree.map(lambda a: a[0], parts_of))[-1]
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
        (model_state, sums), carry = lax.scan(add, (model_state, zeros), parts_of, unroll=unroll)
        found, objective, metrics = _means(sums)
        return found, objective, model_state | jax.tree.map(_join, carry), metrics

    return accumulated


def across(gradient: Gradient, axis: str, global_statistics: bool) -> Gradient:
    """The gradient over all devices of a mapped axis, on each of which `gradient` runs with a part of the batch.

    Args:
      gradient: over a part.
      axis: the name of the axis, inside of `jax.pmap` or `jax.shard_map`.
      global_statistics: batch normalisation sees the whole batch; else each device its own part of it, and the running
        statistics are the means over devices. Whatever is drawn, each device draws anew.
    """

    def of_all(params: Variables, task_state: Variables, batch: Batch, key: jax.Array):
        with normalization.synchronized(axis) if global_statistics else contextlib.nullcontext():
            found, objective, task_state, metrics = gradient(
                params, task_state, batch, jax.random.fold_in(key, lax.axis_index(axis))
            )
        model_state, carry = _split(task_state)
        found, objective, metrics = _means(lax.psum(_weighed(found, objective, metrics), axis))
        return found, objective, lax.pmean(model_state, axis) | carry, metrics

    return of_all


def _split(task_state: Variables) -> tuple[Variables, Variables]:
    """What belongs to the model, and what to the rows of a batch."""
    model_state = {name: value for name, value in task_state.items() if name != CARRY}
    return model_state, {CARRY: task_state[CARRY]} if CARRY in task_state else {}


def _weighed(found: Variables, objective: jax.Array, metrics: Metrics) -> Any:
    """What can be added up over parts: gradient and objective times their count."""
    count = metrics["loss"].count

    def times(mean: jax.Array) -> jax.Array:  # the mean over nothing is NaN, and counts nothing
        return jnp.where(count > 0, mean * count.astype(mean.dtype), jnp.zeros((), mean.dtype))

    return jax.tree.map(times, found), times(objective), metrics


def _means(sums: Any) -> tuple[Variables, jax.Array, Metrics]:
    found, objective, metrics = sums
    count = metrics["loss"].count
    return jax.tree.map(lambda a: a / count.astype(a.dtype), found), objective / count.astype(objective.dtype), metrics


def _cut(rows: jax.Array, parts: int) -> jax.Array:
    """`[batch, ...]` as `[parts, batch / parts, ...]`."""
    return jnp.moveaxis(rows.reshape(-1, parts, *rows.shape[1:]), 1, 0)


def _join(rows: jax.Array) -> jax.Array:
    """The inverse of `_cut`."""
    return jnp.moveaxis(rows, 0, 1).reshape(-1, *rows.shape[2:])
