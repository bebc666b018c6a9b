"""The train state: everything that the next step depends on, as one pytree."""

from typing import Any

import flax.struct
import jax
import optax
from jax import numpy as jnp

from canon.training.task import Task


@flax.struct.dataclass
class TrainState:
    """With it and the batches, the rest of training is determined.

    Attributes:
      step: steps done, int32 scalar.
      seed: of every random number, uint32 scalar: those of step t come from `fold_in(key(seed), t)`. It is data and
        not a constant of the program, so that runs that differ by seed alone share one compiled step.
      params: the model's parameters.
      model_state: its other variables, such as the statistics of batch normalisation; may be empty.
      opt_state: the optimizer's.
      carry: what passes from one batch to the next, such as the state of a recurrent net; may be empty.
    """

    step: jax.Array
    seed: jax.Array
    params: Any
    model_state: Any
    opt_state: Any
    carry: Any


def initial_state(
    task: Task, optimizer: optax.GradientTransformation, batch: dict[str, jax.Array], seed: jax.Array
) -> TrainState:
    """The state before the first step; `batch` gives shapes only. The parameters come from `key(seed)`."""
    params, model_state = task.init(jax.random.key(seed), batch)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=jnp.asarray(seed, jnp.uint32),
        params=params,
        model_state=model_state,
        opt_state=optimizer.init(params),
        carry={},
    )
