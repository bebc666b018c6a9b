"""The train step and the evaluation step, each written once, as pure functions."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from jax import numpy as jnp

from canon import schedules
from canon.analysis.activity import gradient_norms
from canon.data.pipeline import Batch
from canon.data.preprocess import Preprocess
from canon.layers.batch_sums import ELEMENTS, sum_to_channels
from canon.schedules import LearningRate
from canon.training.gradient import Gradient
from canon.training.metrics import Mean, Metrics
from canon.training.state import TrainState
from canon.training.task import Task, Variables

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
EvaluationStep = Callable[[TrainState, Batch], tuple[Metrics, Any]]


FIRST_NOT_FINITE = "first_not_finite"
"""The metric that says which leaf of the gradient is the first not finite; -1: none; their number: the update."""


def make_train_step(
    gradient: Gradient,
    optimizer: optax.GradientTransformationExtraArgs,
    schedule: LearningRate,
    preprocess: Preprocess,
    watch_gradients: bool = False,
    own_key: Callable[[jax.Array], jax.Array] = lambda key: key,
) -> TrainStep:
    """`train_step(state, batch) -> (state, metrics)`.

    Args:
      gradient: of what is learned; see `canon.training.gradient`.
      optimizer: how; its learning rate is `schedule`.
      schedule: of the learning rate, to be logged.
      preprocess: from a batch as it is stored to what the task takes, augmented.
      own_key: from a step's key to what it draws from here; see `canon.training.parallel.key_of_device`.
      watch_gradients: add the norm of each layer's gradient to the metrics.

    Returns:
      The step. Its metrics are the task's over this batch, `learning_rate`, the norms of the gradient, of the update
      and of the parameters before it, each over all parameters, and `FIRST_NOT_FINITE`.
    """

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        augment_key, model_key = jax.random.split(own_key(_key(state)))
        batch = preprocess(batch, augment_key)
        found, objective, task_state, metrics = gradient(state.params, state.task_state, batch, model_key)
        updates, opt_state = optimizer.update(found, state.opt_state, state.params, value=objective)
        of_gradient = _squares(found)
        metrics = metrics | {
            "learning_rate": Mean.of(schedules.rate(schedule, state.step, opt_state)),
            "gradient_norm": Mean.of(jnp.sqrt(of_gradient.sum())),
            "update_norm": Mean.of(jnp.sqrt(_squares(updates).sum())),
            "parameter_norm": Mean.of(jnp.sqrt(_squares(state.params).sum())),
        }
        metrics[FIRST_NOT_FINITE] = Mean.of(_first_not_finite(of_gradient, metrics["update_norm"].total))
        if watch_gradients:
            metrics |= {name: Mean.of(norm) for name, norm in gradient_norms(found).items()}
        params = optax.apply_updates(state.params, updates)
        state = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
        return state.replace_task_state(task_state), metrics

    return train_step


def make_objective(task: Task, preprocess: Preprocess) -> Callable[[Variables, TrainState, Batch], jax.Array]:
    """`objective(params, state, batch)`: what the train step descends where one program computes it, and its draws."""

    def objective(params: Variables, state: TrainState, batch: Batch) -> jax.Array:
        augment_key, model_key = jax.random.split(_key(state))
        return task.loss(params, state.task_state, preprocess(batch, augment_key), model_key, train=True)[0]

    return objective


def _key(state: TrainState) -> jax.Array:
    return jax.random.fold_in(jax.random.key(state.seed), state.step)


def _squares(tree: Any) -> jax.Array:
    """The sum of the squares of each leaf, in one array."""

    def of(leaf: jax.Array) -> jax.Array:
        is_large = leaf.size >= ELEMENTS  # of the others there are many, and each of its own form costs compiling
        return (sum_to_channels(leaf, leaf) if is_large else jnp.square(leaf)).sum()

    return jnp.stack(jax.tree.leaves(jax.tree.map(of, tree)))


def _first_not_finite(squares: jax.Array, update_norm: jax.Array) -> jax.Array:
    """A float32, from the squares that the norm of the gradient is made of anyway.

    The square of a number can overflow that is finite itself. So a sum of squares that is infinite tells nothing, as
    long as what clipping makes of the gradient is finite; one that is no number tells that the gradient is none.
    """
    finite = jnp.isfinite(squares)
    first = jnp.where(finite.all(), len(squares), finite.argmin()).astype(jnp.float32)
    return jnp.where(jnp.isnan(squares).any() | ~jnp.isfinite(update_norm), first, -1.0)


def make_evaluation_step(task: Task, preprocess: Preprocess) -> EvaluationStep:
    """`evaluation_step(state, batch) -> (metrics, carry)`: the task's, over the examples that the mask leaves in.

    The carry is for the next batch of the same evaluation, which has it in its state.
    """

    def evaluation_step(state: TrainState, batch: Batch) -> tuple[Metrics, Any]:
        _, (task_state, metrics) = task.loss(state.params, state.task_state, preprocess(batch, None), None, train=False)
        return metrics, state.replace_task_state(task_state).carry

    return evaluation_step
