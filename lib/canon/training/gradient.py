"""The gradient of a task over a batch, and what computes the same one in parts: micro-batches, or devices.

The parts of a batch may count unequally many examples or tokens, where a mask leaves some out. So parts are added up as
sums, each part's mean times its count, and divided by the whole count at the end.
"""

import contextlib
from collections.abc import Callable

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

Sums = Gradient
"""The same of objective times count: what can be added up over parts."""


def of_task(task: Task) -> Gradient:
    """The gradient over a batch in one part."""

    def gradient(params: Variables, task_state: Variables, batch: Batch, key: jax.Array):
        value_and_gradient = jax.value_and_grad(task.loss, has_aux=True)
        (objective, (task_state, metrics)), found = value_and_gradient(params, task_state, batch, key, train=True)
        return found, objective, task_state, metrics

    return gradient


def sums(task: Task) -> Sums:
    """The sums over one part.

    Weighed before it is differentiated: where batch normalisation sees the parts of all devices, a device's gradient
    has to do with the losses of the others. A part that counts nothing adds nothing.
    """

    def weighed(params: Variables, task_state: Variables, batch: Batch, key: jax.Array):
        objective, (task_state, metrics) = task.loss(params, task_state, batch, key, train=True)
        count = metrics["loss"].count.astype(objective.dtype)
        return objective * lax.stop_gradient(count), (task_state, metrics)

    def of_part(params: Variables, task_state: Variables, batch: Batch, key: jax.Array):
        (objective, (task_state, metrics)), found = jax.value_and_grad(weighed, has_aux=True)(
            params, task_state, batch, key
        )
        count = metrics["loss"].count  # the mean over nothing is NaN, and so is its gradient
        found, objective = jax.tree.map(lambda a: jnp.where(count > 0, a, jnp.zeros_like(a)), (found, objective))
        return found, objective, task_state, metrics

    return of_part


def mean(of_parts: Sums) -> Gradient:
    """The gradient that sums make."""

    def gradient(params: Variables, task_state: Variables, batch: Batch, key: jax.Array):
        found, objective, task_state, metrics = of_parts(params, task_state, batch, key)
        count = metrics["loss"].count
        found, objective = jax.tree.map(lambda a: a / count.astype(a.dtype), (found, objective))
        return found, objective, task_state, metrics

    return gradient


def accumulate(of_part: Sums, parts: int, unroll: bool) -> Sums:
    """The sums over micro-batches, one after another, in the memory of one.

    Micro-batch j has the rows j, j + parts, j + 2 parts, ...: of a batch that is split over devices, as many of each.
    Batch normalisation sees micro-batches, and its running statistics move once for each; dropout draws for each anew.

    Args:
      of_part: over one.
      parts: how many micro-batches; they divide the batch. At 1 this is the identity.
      unroll: leave no loop in the program. On a CPU the gradient of a convolution with strides, or of few
        channels, is 30 to 80 times slower in one.
    """
    if parts == 1:
        return of_part

    def accumulated(params: Variables, task_state: Variables, batch: Batch, key: jax.Array):
        model_state, carry = _split(task_state)

        def part(model_state: Variables, number: jax.Array, batch: Batch, carry: Variables):
            its_key = jax.random.fold_in(key, number)
            found, objective, task_state, metrics = of_part(params, model_state | carry, batch, its_key)
            return *_split(task_state), (found, objective, metrics)

        def add(before, at):
            model_state, so_far = before
            model_state, carry, its_sums = part(model_state, *at)
            return (model_state, jax.tree.map(jnp.add, so_far, its_sums)), carry

        parts_of = jnp.arange(parts), *(jax.tree.map(lambda a: _cut(a, parts), tree) for tree in (batch, carry))
        shapes = jax.eval_shape(part, model_state, *jax.tree.map(lambda a: a[0], parts_of))[-1]
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
        (model_state, whole), carry = lax.scan(add, (model_state, zeros), parts_of, unroll=unroll)
        found, objective, metrics = whole
        return found, objective, model_state | jax.tree.map(_join, carry), metrics

    return accumulated


def across(of_part: Sums, axis: str, global_statistics: bool) -> Sums:
    """The sums over all devices of a mapped axis, each of which has a part of the batch.

    Args:
      of_part: over one.
      axis: the name of the axis, inside of `jax.pmap` or `jax.shard_map`.
      global_statistics: batch normalisation sees the whole batch (of which then no device's part may count nothing);
        else each device its own part of it, and the running statistics are the means over devices. What is drawn, each
        device draws anew.
    """

    def of_all(params: Variables, task_state: Variables, batch: Batch, key: jax.Array):
        with normalization.synchronized(axis) if global_statistics else contextlib.nullcontext():
            found, objective, task_state, metrics = of_part(
                params, task_state, batch, jax.random.fold_in(key, lax.axis_index(axis))
            )
        model_state, carry = _split(task_state)
        found, objective, metrics = lax.psum((found, objective, metrics), axis)
        return found, objective, lax.pmean(model_state, axis) | carry, metrics

    return of_all


def _split(task_state: Variables) -> tuple[Variables, Variables]:
    """What belongs to the model, and what to the rows of a batch."""
    model_state = {name: value for name, value in task_state.items() if name != CARRY}
    return model_state, {CARRY: task_state[CARRY]} if CARRY in task_state else {}


def _cut(rows: jax.Array, parts: int) -> jax.Array:
    """`[batch, ...]` as `[parts, batch / parts, ...]`."""
    return jnp.moveaxis(rows.reshape(-1, parts, *rows.shape[1:]), 1, 0)


def _join(rows: jax.Array) -> jax.Array:
    """The inverse of `_cut`."""
    return jnp.moveaxis(rows, 0, 1).reshape(-1, *rows.shape[2:])
