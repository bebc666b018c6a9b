"""The train state: everything that the next step depends on, as one pytree."""

from typing import Any

import flax.struct
import jax
import numpy as np
import optax
from jax import numpy as jnp

from canon.training.task import CARRY, Task


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

    # Apart from `model_state`, because an evaluation begins with one of its own, for batches of another size.

    step: jax.Array
    seed: jax.Array
    params: Any
    model_state: Any
    opt_state: Any
    carry: Any

    @property
    def task_state(self) -> Any:
        """`model_state` as the task has it: with the carry, where there is one."""
        return {**self.model_state, CARRY: self.carry} if self.carry else self.model_state

    def replace_task_state(self, task_state: Any) -> "TrainState":
        """The inverse of `task_state`."""
        model_state = {name: value for name, value in task_state.items() if name != CARRY}
        return self.replace(model_state=model_state, carry=task_state.get(CARRY, {}))

    def forget(self, batch_size: int) -> "TrainState":
        """With a carry of zeros, for batches of that size."""
        return self.replace(carry=jax.tree.map(lambda a: np.zeros((batch_size, *a.shape[1:]), a.dtype), self.carry))


def initial_state(
    task: Task, optimizer: optax.GradientTransformation, batch: dict[str, jax.Array], seed: jax.Array
) -> TrainState:
    """The state before the first step; `batch` gives shapes only. The parameters come from `key(seed)`."""
    params, task_state = task.init(jax.random.key(seed), batch)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=jnp.asarray(seed, jnp.uint32),
        params=params,
        model_state={},
        opt_state=optimizer.init(params),
        carry={},
    )
    return state.replace_task_state(task_state)
