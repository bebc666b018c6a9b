"""Learning-rate schedules: functions from the step, counted from 0, to the learning rate; and one that sees the loss.

Each is made for a training of `steps` steps and says *when* as a share of it, so that a shorter run keeps the shape,
and none ends before the training does.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import jax
import optax
from jax import numpy as jnp

from canon import catalog
from canon.errors import UserError


@dataclass(frozen=True)
class Plateau:
    """A rate that falls whenever the training loss has stopped falling, as AlexNet's authors lowered theirs by hand.

    Attributes:
      learning_rate: the rate at the start.
      factor: what it is multiplied by each time.
      patience: how many means in a row may bring nothing new before it falls.
      window: how many steps each mean of the loss is over.
      threshold: by which share a mean must be below the best before it to be something new.
    """

    learning_rate: float
    factor: float
    patience: int
    window: int
    threshold: float

    def scale(self) -> optax.GradientTransformationExtraArgs:
        """The part of an optimizer that watches the loss, which its `update` is given as `value`."""
        return with_standard_promotion(
            optax.contrib.reduce_on_plateau(
                factor=self.factor, patience=self.patience, rtol=self.threshold, accumulation_size=self.window
            )
        )


def with_standard_promotion(transformation: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """For what counts in int32 and multiplies floating-point numbers by it, which strict promotion forbids."""
    transformation = optax.with_extra_args_support(transformation)

    def update(updates, state, params=None, **extra):
        with jax.numpy_dtype_promotion("standard"):
            return transformation.update(updates, state, params, **extra)

    return optax.GradientTransformationExtraArgs(transformation.init, update)


LearningRate = float | optax.Schedule | Plateau


def scale_by_learning_rate(learning_rate: LearningRate) -> optax.GradientTransformation:
    """The part of an optimizer that multiplies by −ε, whatever kind of learning rate ε is."""
    if isinstance(learning_rate, Plateau):
        return optax.chain(optax.scale_by_learning_rate(learning_rate.learning_rate), learning_rate.scale())
    return optax.scale_by_learning_rate(learning_rate)


def rate(learning_rate: LearningRate, step: jax.Array, opt_state: optax.OptState) -> jax.Array:
    """The learning rate of step `step`, after which the optimizer's state is `opt_state`; a scalar."""
    if isinstance(learning_rate, Plateau):
        (state,) = filter(_is_plateau, jax.tree.leaves(opt_state, is_leaf=_is_plateau))
        return learning_rate.learning_rate * state.scale
    return jnp.asarray(learning_rate(step) if callable(learning_rate) else learning_rate)


def _is_plateau(state: Any) -> bool:
    return isinstance(state, optax.contrib.ReduceLROnPlateauState)


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
    if not all(a < b for a, b in itertools.pairwise(shares)):
        raise UserError(f"schedule step_decay: decay_at must rise from above 0 to below 1, not {tuple(decay_at)}")
    _check_warmup("step_decay", warmup_steps, steps)
    rates = [optax.constant_schedule(learning_rate * factor**i) for i in range(len(decay_at) + 1)]
    decay = optax.join_schedules(rates, [round(share * steps) for share in decay_at])
    if warmup_steps == 0:
        return decay
    return lambda step: jnp.where(step < warmup_steps, warmup_learning_rate, decay(step))


def cosine(steps: int, learning_rate: float = 0.1, final_share: float = 0.0, warmup_steps: int = 0) -> optax.Schedule:
    """Half a cosine from the full rate at the start to `final_share` of it at the end, after a linear warm-up.

    Loshchilov and Hutter 2017, equation 5, without restarts; the warm-up is that of Goyal et al. 2017, section 2.2:
    step t of w has the rate (t + 1) / (w + 1) of the full one, and the cosine begins after it.

    Args:
      steps: length of training.
      learning_rate: the full rate.
      final_share: what is left of it at the end, from 0 to 1.
      warmup_steps: w.

    Raises:
      UserError: the rate is not positive, the share is no share, or the warm-up outlasts training.
    """
    _check_positive("cosine", learning_rate=learning_rate)
    if not 0 <= final_share <= 1:
        raise UserError(f"schedule cosine: final_share must be from 0 to 1, not {final_share}")
    _check_warmup("cosine", warmup_steps, steps)
    decay = optax.cosine_decay_schedule(learning_rate, max(steps - warmup_steps, 1), alpha=final_share)
    if warmup_steps == 0:
        return _with_standard_promotion(decay)
    start = learning_rate / (warmup_steps + 1)
    warmup = optax.linear_schedule(start, learning_rate, warmup_steps)
    return _with_standard_promotion(optax.join_schedules([warmup, decay], [warmup_steps]))


def _with_standard_promotion(schedule: optax.Schedule) -> optax.Schedule:
    """The same schedule where promotion is strict: Optax's cosine divides the step, an integer, by a float."""

    def rate(step: jax.typing.ArrayLike) -> jax.Array:
        with jax.numpy_dtype_promotion("standard"):
            return schedule(step)

    return rate


def plateau(
    steps: int,
    learning_rate: float = 0.1,
    factor: float = 0.1,
    patience: int = 10,
    window: int = 100,
    threshold: float = 1e-4,
) -> Plateau:
    """Multiplied by `factor` whenever the training loss, in means over `window` steps, has stopped falling.

    Krizhevsky et al. 2012, section 5, and He et al. 2015, section 3.4, divide by 10 when the error stops improving;
    theirs is the error on the validation set, at a moment that the authors chose.

    Args and attributes: see `Plateau`.

    Raises:
      UserError: a rate is not positive, the factor is not below 1, or a count is below 1.
    """
    _check_positive("plateau", learning_rate=learning_rate, factor=factor, threshold=threshold)
    if not factor < 1:
        raise UserError(f"schedule plateau: factor must be below 1, not {factor}")
    if not threshold < 1:
        raise UserError(f"schedule plateau: threshold must be below 1, not {threshold}")
    if patience < 1 or window < 1:
        raise UserError(f"schedule plateau: patience and window must be at least 1, not {patience} and {window}")
    return Plateau(learning_rate, factor, patience, window, threshold)


def _check_positive(name: str, **values: float) -> None:
    for argument, value in values.items():
        if not value > 0:
            raise UserError(f"schedule {name}: {argument} must be above 0, not {value}")


def _check_warmup(name: str, warmup_steps: int, steps: int) -> None:
    if not 0 <= warmup_steps <= steps:
        raise UserError(f"schedule {name}: warmup_steps must be between 0 and {steps} (steps), not {warmup_steps}")


SCHEDULES = {
    "constant": constant,
    "cosine": cosine,
    "plateau": plateau,
    "step_decay": step_decay,
}


def create(name: str, *, steps: int, **kwargs: Any) -> optax.Schedule | Plateau:
    """The schedule called `name` for a training of `steps` steps.

    Raises:
      UserError: the name, an argument, or an argument's value is wrong; the message says what there is.
    """
    return catalog.create("schedule", SCHEDULES, name, {"steps": steps, **kwargs})
