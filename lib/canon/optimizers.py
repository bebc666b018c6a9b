"""Optimizers as optax chains that read as their papers' update rules.

In all of them g is the gradient, w a parameter and ε the learning rate, and all take the same arguments besides their
own:

  learning_rate: ε, or a schedule of it: see `canon.schedules`.
  weight_decay: λ of L2 regularisation, at least 0: the rule sees g + λ w in place of g.
  decay: which parameters decay: `all`, as in the papers' own networks, or `kernels`: no biases, and no scales and
    offsets of normalisation, which are vectors.
  clip_norm: scale g down to this norm, over all parameters, where it is larger (Pascanu et al. 2013, algorithm 1); None
    leaves it as it is.
  clip_value: limit each element of g to this magnitude; None leaves it as it is.
  max_norm: after each step scale the weights into a unit down to this L2 norm, where it is larger (Hinton et al. 2012;
    Srivastava et al. 2014, section 5.1); None leaves them as they are. A unit's are a kernel's over all of its axes but
    the last: of a convolution, a filter (of LeNet-5's table of connections, one connection).

Each raises `UserError` where a value is outside its range. A clip at 0 is: it would divide 0 by 0 where g is 0.
"""

from typing import Any

import jax
import optax
from jax import numpy as jnp

from canon import catalog
from canon.errors import UserError
from canon.schedules import LearningRate, scale_by_learning_rate, with_standard_promotion

DECAYS = ("all", "kernels")


def momentum(
    learning_rate: LearningRate,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decay: str = "all",
    clip_norm: float | None = None,
    clip_value: float | None = None,
    max_norm: float | None = None,
) -> optax.GradientTransformation:
    """v ← μ v + g; w ← w − ε v: the learning rate stands outside the velocity.

    The form of He et al. 2015 (section 3.4) and of PyTorch. When ε falls, the whole velocity counts less at once.

    Args:
      momentum: μ, at least 0 and below 1; 0 is plain gradient descent.
      nesterov: w ← w − ε (g + μ v), which is Nesterov's method as Sutskever et al. 2013 (equations 3 and 4) have it,
        seen from the point w + μ v at which they take the gradient.
      learning_rate, weight_decay, decay, clip_norm, clip_value, max_norm: see this file.
    """
    _check("momentum", momentum=momentum)
    rule = optax.trace(decay=momentum, nesterov=nesterov), scale_by_learning_rate(learning_rate)
    return _chain("momentum", rule, weight_decay, decay, clip_norm, clip_value, max_norm)


def momentum_rate_inside(
    learning_rate: LearningRate,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decay: str = "all",
    clip_norm: float | None = None,
    clip_value: float | None = None,
    max_norm: float | None = None,
) -> optax.GradientTransformation:
    """v ← μ v − ε g; w ← w + v: the learning rate stands inside the velocity.

    The form of Krizhevsky et al. 2012 (section 5: v ← 0.9 v − 0.0005 ε w − ε g) and of Sutskever et al. 2013. When ε
    falls, what the velocity has gathered still counts as it did. While ε stays the same, it is `momentum`.

    Args: as of `momentum`.
    """
    _check("momentum_rate_inside", momentum=momentum)
    rule = scale_by_learning_rate(learning_rate), optax.trace(decay=momentum, nesterov=nesterov)
    return _chain("momentum_rate_inside", rule, weight_decay, decay, clip_norm, clip_value, max_norm)


def adadelta(
    learning_rate: LearningRate,
    rho: float = 0.95,
    epsilon: float = 1e-6,
    weight_decay: float = 0.0,
    decay: str = "all",
    clip_norm: float | None = None,
    clip_value: float | None = None,
    max_norm: float | None = None,
) -> optax.GradientTransformation:
    """Zeiler 2012, algorithm 1: each element moves by its own recent step over its own recent gradient.

    E[g²] ← ρ E[g²] + (1 − ρ) g²; Δ = −√(E[Δ²] + ϵ) / √(E[g²] + ϵ) g; E[Δ²] ← ρ E[Δ²] + (1 − ρ) Δ²; w ← w + ε Δ. The
    paper has no learning rate: ε = 1.

    Args:
      rho: ρ, at least 0 and below 1.
      epsilon: ϵ, above 0.
      learning_rate, weight_decay, decay, clip_norm, clip_value, max_norm: see this file.
    """
    _check("adadelta", rho=rho, epsilon=epsilon)
    rule = optax.scale_by_adadelta(rho=rho, eps=epsilon), scale_by_learning_rate(learning_rate)
    return _chain("adadelta", rule, weight_decay, decay, clip_norm, clip_value, max_norm)


def rmsprop(
    learning_rate: LearningRate,
    rho: float = 0.9,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "all",
    clip_norm: float | None = None,
    clip_value: float | None = None,
    max_norm: float | None = None,
) -> optax.GradientTransformation:
    """n ← ρ n + (1 − ρ) g²; w ← w − ε g / (√n + ϵ): Tieleman and Hinton 2012, lecture 6.5.

    Args:
      rho: ρ, at least 0 and below 1.
      epsilon: ϵ, above 0; the lecture has none.
      learning_rate, weight_decay, decay, clip_norm, clip_value, max_norm: see this file.
    """
    _check("rmsprop", rho=rho, epsilon=epsilon)
    rule = optax.scale_by_rms(decay=rho, eps=epsilon, eps_in_sqrt=False), scale_by_learning_rate(learning_rate)
    return _chain("rmsprop", rule, weight_decay, decay, clip_norm, clip_value, max_norm)


def rmsprop_graves(
    learning_rate: LearningRate,
    rho: float = 0.95,
    momentum: float = 0.9,
    epsilon: float = 1e-4,
    weight_decay: float = 0.0,
    decay: str = "all",
    clip_norm: float | None = None,
    clip_value: float | None = None,
    max_norm: float | None = None,
) -> optax.GradientTransformation:
    """Graves 2013, equations 38 to 45: by the deviation of the gradient and not by its size, and with momentum.

    n ← ρ n + (1 − ρ) g²; m ← ρ m + (1 − ρ) g; Δ ← μ Δ − ε g / √(n − m² + ϵ); w ← w + Δ.

    Args:
      rho: ρ, at least 0 and below 1.
      momentum: μ, likewise.
      epsilon: ϵ, above 0.
      learning_rate, weight_decay, decay, clip_norm, clip_value, max_norm: see this file.
    """
    _check("rmsprop_graves", rho=rho, momentum=momentum, epsilon=epsilon)
    rule = (
        optax.scale_by_stddev(decay=rho, eps=epsilon),
        scale_by_learning_rate(learning_rate),
        optax.trace(decay=momentum),
    )
    return _chain("rmsprop_graves", rule, weight_decay, decay, clip_norm, clip_value, max_norm)


def adam(
    learning_rate: LearningRate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "all",
    clip_norm: float | None = None,
    clip_value: float | None = None,
    max_norm: float | None = None,
) -> optax.GradientTransformation:
    """Kingma and Ba 2015, algorithm 1: w ← w − ε m̂ / (√v̂ + ϵ), with the bias of both moments corrected.

    Args:
      beta1: of the first moment, at least 0 and below 1.
      beta2: of the second, likewise.
      epsilon: ϵ, above 0.
      learning_rate, weight_decay, decay, clip_norm, clip_value, max_norm: see this file.
    """
    _check("adam", beta1=beta1, beta2=beta2, epsilon=epsilon)
    moments = with_standard_promotion(optax.scale_by_adam(b1=beta1, b2=beta2, eps=epsilon))
    rule = moments, scale_by_learning_rate(learning_rate)
    return _chain("adam", rule, weight_decay, decay, clip_norm, clip_value, max_norm)


OPTIMIZERS = {
    "adadelta": adadelta,
    "adam": adam,
    "momentum": momentum,
    "momentum_rate_inside": momentum_rate_inside,
    "rmsprop": rmsprop,
    "rmsprop_graves": rmsprop_graves,
}


def create(name: str, *, learning_rate: LearningRate, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
    """The optimizer called `name`; its `update` takes the loss as `value`, for schedules that look at it.

    Raises:
      UserError: the name, an argument, or an argument's value is wrong; the message says what there is.
    """
    made = catalog.create("optimizer", OPTIMIZERS, name, {"learning_rate": learning_rate, **kwargs})
    return optax.with_extra_args_support(made)


def project_to_max_norm(limit: float) -> optax.GradientTransformation:
    """Changes an update so that no unit has weights of an L2 norm above `limit` after it: see `max_norm`."""

    def project(weights: jax.Array) -> jax.Array:
        if weights.ndim < 2:
            return weights
        norm = jnp.linalg.norm(weights.reshape(-1, weights.shape[-1]), axis=0)
        return weights * jnp.where(norm > limit, limit / jnp.where(norm > limit, norm, 1), 1)

    def update(updates: optax.Updates, state: optax.EmptyState, params: optax.Params):
        return jax.tree.map(lambda u, w: project(w + u) - w, updates, params), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def _chain(
    name: str,
    rule: tuple[optax.GradientTransformation, ...],
    weight_decay: float,
    decay: str,
    clip_norm: float | None,
    clip_value: float | None,
    max_norm: float | None,
) -> optax.GradientTransformation:
    if not weight_decay >= 0:
        raise UserError(f"optimizer {name}: weight_decay must be at least 0, not {weight_decay}")
    if decay not in DECAYS:
        raise UserError(f"optimizer {name}: decay must be one of {', '.join(DECAYS)}, not {decay!r}")
    for argument, limit in {"clip_norm": clip_norm, "clip_value": clip_value, "max_norm": max_norm}.items():
        if limit is not None and not limit > 0:
            raise UserError(f"optimizer {name}: {argument} must be above 0, or none to have no limit, not {limit}")
    return optax.chain(
        *([] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]),
        *([] if clip_value is None else [optax.clip(clip_value)]),
        optax.add_decayed_weights(weight_decay, _are_kernels if decay == "kernels" else None),
        *rule,
        *([] if max_norm is None else [project_to_max_norm(max_norm)]),
    )


def _are_kernels(params: optax.Params) -> Any:
    return jax.tree.map(lambda w: w.ndim > 1, params)


def _check(name: str, epsilon: float | None = None, **shares: float) -> None:
    for argument, share in shares.items():
        if not 0 <= share < 1:
            raise UserError(f"optimizer {name}: {argument} must be at least 0 and below 1, not {share}")
    if epsilon is not None and not epsilon > 0:
        raise UserError(f"optimizer {name}: epsilon must be above 0, not {epsilon}")
