"""Optimizers as optax chains that read as their papers' update rules."""

from typing import Any

import optax

from canon import catalog
from canon.errors import UserError


def momentum(
    learning_rate: optax.ScalarOrSchedule,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum and L2 weight decay: v ← μ v + (g + λ w), w ← w − ε v.

    The form of He et al. 2015 (section 3.4) and of PyTorch: the learning rate ε stands outside the velocity v. Weight
    decay applies to every parameter, biases and norms included, as in the paper's networks.

    Args:
      learning_rate: ε, or a schedule of it.
      momentum: μ, at least 0 and below 1.
      weight_decay: λ, at least 0.
      nesterov: use Nesterov's form, g + λ w + μ v, in place of v.
      clip_norm: scale the gradient g down to this norm, over all parameters, when it is larger (Pascanu et al. 2013,
        algorithm 1); None leaves it as it is.

    Raises:
      UserError: a value is outside its range.
    """
    if not 0 <= momentum < 1:
        raise UserError(f"optimizer momentum: momentum must be at least 0 and below 1, not {momentum}")
    if not weight_decay >= 0:
        raise UserError(f"optimizer momentum: weight_decay must be at least 0, not {weight_decay}")
    if clip_norm is not None and not clip_norm > 0:
        raise UserError(
            f"optimizer momentum: clip_norm must be above 0, or none to leave gradients alone, not {clip_norm}"
        )
    return optax.chain(
        optax.identity() if clip_norm is None else optax.clip_by_global_norm(clip_norm),
        optax.add_decayed_weights(weight_decay),
        optax.trace(decay=momentum, nesterov=nesterov),
        optax.scale_by_learning_rate(learning_rate),
    )


OPTIMIZERS = {
    "momentum": momentum,
}


def create(name: str, *, learning_rate: optax.ScalarOrSchedule, **kwargs: Any) -> optax.GradientTransformation:
    """The optimizer called `name`.

    Raises:
      UserError: the name, an argument, or an argument's value is wrong; the message says what there is.
    """
    return catalog.create("optimizer", OPTIMIZERS, name, {"learning_rate": learning_rate, **kwargs})
