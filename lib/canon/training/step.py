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
from canon.schedules import LearningRate
from canon.training.gradient import Gradient
from canon.training.metrics import Mean, Metrics
from canon.training.state import TrainState
from canon.training.task import Task

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
EvaluationStep = Callable[[TrainState, Batch], tuple[Metrics, Any]]


FIRST_NOT_FINITE = "first_not_finite"
"""The metric that says which leaf of the gradient is the first that is not finite; their number: the update; -1: none."""


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
        key = own_key(jax.random.fold_in(jax.random.key(state.seed), state.step))
        augment_key, model_key = jax.random.split(key)
        batch = preprocess(batch, augment_key)
        found, objective, task_state, metrics = gradient(state.params, state.task_state, batch, model_key)
        updates, opt_state = optimizer.update(found, state.opt_state, state.params, value=objective)
        metrics = metrics | {
            "learning_rate": Mean.of(schedules.rate(schedule, state.step, opt_state)),
            "gradient_norm": Mean.of(optax.tree.norm(found)),
            "update_norm": Mean.of(optax.tree.norm(updates)),
            "parameter_norm": Mean.of(optax.tree.norm(state.params)),
        }
        first = _first_not_finite(found, metrics["gradient_norm"].total, metrics["update_norm"].total)
        metrics[FIRST_NOT_FINITE] = Mean.of(first)
        if watch_gradients:
            metrics |= {name: Mean.of(norm) for name, norm in gradient_norms(found).items()}
        params = optax.apply_updates(state.params, updates)
        state = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
        return state.replace_task_state(task_state), metrics

    return train_step


def _first_not_finite(gradient: Any, norm: jax.Array, update_norm: jax.Array) -> jax.Array:
    """A float32; while the gradient's norm is finite none of it has to be looked at.

    The norm alone may overflow of a gradient that is finite, and that clipping makes small.
    """
    leaves = jax.tree.leaves(gradient)

    def look(leaves: list[jax.Array]) -> jax.Array:
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves])
        return jnp.where(finite.all(), -1.0, finite.argmin().astype(jnp.float32))

    first = jax.lax.cond(jnp.isfinite(norm), lambda _: jnp.float32(-1.0), look, leaves)
    return jnp.where((first == -1) & ~jnp.isfinite(update_norm), jnp.float32(len(leaves)), first)


def make_evaluation_step(task: Task, preprocess: Preprocess) -> EvaluationStep:
    """`evaluation_step(state, batch) -> (metrics, carry)`: the task's, over the examples that the mask leaves in.

    The carry is for the next batch of the same evaluation, which has it in its state.
    """

    def evaluation_step(state: TrainState, batch: Batch) -> tuple[Metrics, Any]:
        _, (task_state, metrics) = task.loss(state.params, state.task_state, preprocess(batch, None), None, train=False)
        return metrics, state.replace_task_state(task_state).carry

    return evaluation_step
