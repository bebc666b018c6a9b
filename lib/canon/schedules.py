"""Learning-rate schedules: functions from the step, counted from 0, to the learning rate.

Each is made for a training of `steps` steps and says *when* as a share of it, so that a shorter run keeps the shape.
"""

import itertools
from typing import Any

import optax
from jax import numpy as jnp

from canon import catalog
from canon.errors import UserError


def constant(steps: int, learning_rate: float = 0.1) -> optax.Schedule:
    """The same learning rate at every step. Raises `UserError` unless the rate is positive."""
    _check_positive("constant", learning_rate=learning_rate)
    return optax.constant_schedule(learning_rate)


def step_decay(
    steps: int,
    learning_rate: float = 0.1,
    decay_at: tuple[float, ...] = (0.5, 0.75),
    factor: float = 0.1,
    warmup_steps: int = 0,
    warmup_learning_rate: float = 0.01,
) -> optax.Schedule:
    """Piecewise constant: multiplied by `factor` at each share of training in `decay_at`.

    He et al. 2015, section 4.2: 0.1, divided by 10 at 32k and 48k of 64k steps. Their 110-layer net trains at 0.01
    first, until the training error is below 80%, which is about 400 steps: `warmup_steps=400`.

    Args:
      steps: length of training.
      learning_rate: the rate after the warm-up.
      decay_at: shares of training, between 0 and 1, rising.
      factor: what the rate is multiplied by each time.
      warmup_steps: how many steps begin at `warmup_learning_rate`; the shares count from the first step all the same.
      warmup_learning_rate: the rate of those steps.

    Raises:
      UserError: a rate is not positive, the shares do not rise between 0 and 1, or the warm-up outlasts training.
    """
    _check_positive("step_decay", learning_rate=learning_rate, factor=factor, warmup_learning_rate=warmup_learning_rate)
    shares = (0.0, *decay_at, 1.0)
    if any(a >= b for a, b in itertools.pairwise(shares)):
        raise UserError(f"schedule step_decay: decay_at must rise from above 0 to below 1, not {tuple(decay_at)}")
    if not 0 <= warmup_steps <= steps:
        raise UserError(f"schedule step_decay: warmup_steps must be between 0 and {steps} (steps), not {warmup_steps}")
    rates = [optax.constant_schedule(learning_rate * factor**i) for i in range(len(decay_at) + 1)]
    decay = optax.join_schedules(rates, [round(share * steps) for share in decay_at])
    if warmup_steps == 0:
        return decay
    return lambda step: jnp.where(step < warmup_steps, warmup_learning_rate, decay(step))


def _check_positive(name: str, **values: float) -> None:
    for argument, value in values.items():
        if not value > 0:
            raise UserError(f"schedule {name}: {argument} must be above 0, not {value}")


SCHEDULES = {
    "constant": constant,
    "step_decay": step_decay,
}


def create(name: str, *, steps: int, **kwargs: Any) -> optax.Schedule:
    """The schedule called `name` for a training of `steps` steps.

    Raises:
      UserError: the name, an argument, or an argument's value is wrong; the message says what there is.
    """
    return catalog.create("schedule", SCHEDULES, name, {"steps": steps, **kwargs})
