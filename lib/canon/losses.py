"""Loss functions, per example: what is averaged, and over which examples, the task decides.

Each of the losses for classification takes `outputs` `[..., num_classes]` and `labels`: integers `[...]` from 0 to
num_classes − 1, or soft labels `[..., num_classes]`, which are probabilities. The result is `[...]`. With label
smoothing α the labels t become (1 − α) t + α / num_classes: Szegedy et al. 2016, section 7.

Gradients stay finite where two outputs tie, and where a probability is 0 or 1 in the arithmetic of the machine.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import optax
from flax import linen as nn
from jax import numpy as jnp

from canon import catalog
from canon.errors import UserError

Loss = Callable[[jax.Array, jax.Array], jax.Array]


def softmax_cross_entropy(outputs: jax.Array, labels: jax.Array, label_smoothing: float = 0.0) -> jax.Array:
    """−Σ_k t_k log softmax(z)_k, in nats. Its gradient with respect to the logits z is softmax(z) − t.

    Args:
      outputs: logits z, `[..., num_classes]`.
      labels: integers `[...]`, or probabilities t `[..., num_classes]`.
      label_smoothing: α, at least 0 and below 1.

    Raises:
      UserError: the shapes do not fit, or α is out of range.
    """
    if _are_integers(labels) and not label_smoothing:
        _check("softmax_cross_entropy", outputs, labels, label_smoothing)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels)
    targets = probabilities("softmax_cross_entropy", outputs, labels, label_smoothing)
    log_probabilities = nn.log_softmax(outputs)
    # 0 log 0 is 0, where a logit is −∞.
    return -jnp.where(targets > 0, targets * log_probabilities, 0).sum(axis=-1)


def softmax_squared_error(outputs: jax.Array, labels: jax.Array, label_smoothing: float = 0.0) -> jax.Array:
    """1/K Σ_k (y_k − t_k)² of the probabilities y = softmax(z) of K classes.

    Its gradient with respect to the logit z_j is 2/K y_j ((y_j − t_j) − Σ_k y_k (y_k − t_k)): it vanishes as y
    approaches any corner, a wrong one too, so that a network that is confidently wrong learns slowly.

    Args and errors: as of `softmax_cross_entropy`.
    """
    targets = probabilities("softmax_squared_error", outputs, labels, label_smoothing)
    return jnp.square(nn.softmax(outputs) - targets).mean(axis=-1)


def multiclass_hinge(
    outputs: jax.Array, labels: jax.Array, margin: float = 1.0, label_smoothing: float = 0.0
) -> jax.Array:
    """Σ_{j ≠ y} max(0, margin + s_j − s_y) for the class y: Weston and Watkins 1999.

    With soft labels it is the mean of this over classes y that are drawn from them. Where a margin is met exactly, the
    gradient is that of a met margin, 0.

    Args:
      outputs: scores s, `[..., num_classes]`.
      labels: integers `[...]`, or probabilities `[..., num_classes]`.
      margin: by which the right score must be larger than each other, above 0.
      label_smoothing: at least 0 and below 1.

    Raises:
      UserError: the shapes do not fit, there is one class only, or a number is out of range.
    """
    if not margin > 0:
        raise UserError(f"loss multiclass_hinge: margin must be above 0, not {margin}")
    targets = probabilities("multiclass_hinge", outputs, labels, label_smoothing)
    if outputs.shape[-1] < 2:
        raise UserError(
            "loss multiclass_hinge needs two classes or more: it compares the scores of each with another's"
        )
    if _are_integers(labels) and not label_smoothing:
        right = jnp.take_along_axis(outputs, labels[..., None], axis=-1)
        return jnp.where(targets > 0, 0, nn.relu(margin + outputs - right)).sum(axis=-1)
    missed = nn.relu(margin + outputs[..., None, :] - outputs[..., :, None])  # [..., y, j]
    missed *= 1 - jnp.eye(outputs.shape[-1], dtype=outputs.dtype)
    return (targets * missed.sum(axis=-1)).sum(axis=-1)


def binary_cross_entropy(outputs: jax.Array, labels: jax.Array, label_smoothing: float = 0.0) -> jax.Array:
    """−Σ_k t_k log σ(z_k) + (1 − t_k) log(1 − σ(z_k)), in nats: each output is a yes or no of its own.

    Its gradient with respect to z_k is σ(z_k) − t_k. With integer labels it is one against all the rest.

    Args:
      outputs: logits z, `[..., num_outputs]`.
      labels: integers `[...]`, or for each output a probability, `[..., num_outputs]`, which need not sum to 1.
      label_smoothing: α, at least 0 and below 1; here t becomes (1 − α) t + α / 2, for there are two classes.

    Raises:
      UserError: the shapes do not fit, or α is out of range.
    """
    targets = probabilities("binary_cross_entropy", outputs, labels)
    _check("binary_cross_entropy", outputs, labels, label_smoothing)
    targets = (1 - label_smoothing) * targets + label_smoothing / 2
    return optax.sigmoid_binary_cross_entropy(outputs, targets).sum(axis=-1)


def squared_error(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """1/K Σ_k (y_k − t_k)² over the K outputs themselves: mean squared error, for regression.

    Its gradient with respect to y_k is 2/K (y_k − t_k). With integer labels the targets are 1 for the class and 0 for
    the others.

    Args:
      outputs: y, `[..., num_outputs]`.
      labels: targets t, any numbers, `[..., num_outputs]`; or integers `[...]`.

    Raises:
      UserError: the shapes do not fit.
    """
    return jnp.square(outputs - probabilities("squared_error", outputs, labels)).mean(axis=-1)


def probabilities(name: str, outputs: jax.Array, labels: jax.Array, label_smoothing: float = 0.0) -> jax.Array:
    """Labels of either kind as `[..., num_classes]`, of the dtype of `outputs`, smoothed.

    Raises:
      UserError: the shapes do not fit, or `label_smoothing` is out of range; the message begins with the loss `name`.
    """
    _check(name, outputs, labels, label_smoothing)
    classes = outputs.shape[-1]
    targets = (
        nn.one_hot(labels, classes, dtype=outputs.dtype) if _are_integers(labels) else labels.astype(outputs.dtype)
    )
    return (1 - label_smoothing) * targets + label_smoothing / classes if label_smoothing else targets


def _are_integers(labels: jax.Array) -> bool:
    return jnp.issubdtype(labels.dtype, jnp.integer)


def _check(name: str, outputs: jax.Array, labels: jax.Array, label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 1:
        raise UserError(f"loss {name}: label_smoothing must be at least 0 and below 1, not {label_smoothing}")
    expected = outputs.shape[:-1] if _are_integers(labels) else outputs.shape
    if outputs.ndim < 1 or labels.shape != expected:
        kind = "integer labels" if _are_integers(labels) else "labels"
        raise UserError(
            f"loss {name}: for outputs of shape {outputs.shape} {kind} have the shape {expected}, not {labels.shape}"
        )


LOSSES = {
    "binary_cross_entropy": binary_cross_entropy,
    "multiclass_hinge": multiclass_hinge,
    "softmax_cross_entropy": softmax_cross_entropy,
    "softmax_squared_error": softmax_squared_error,
    "squared_error": squared_error,
}


def create(name: str, *, num_classes: int, **kwargs: Any) -> Loss:
    """The loss called `name`, from outputs `[batch, num_classes]` and labels to `[batch]`.

    Raises:
      UserError: the name, an argument, or an argument's value is wrong, or it is no loss for so many classes.
    """
    catalog.check("loss", LOSSES, name, {"outputs": None, "labels": None} | kwargs)
    function = functools.partial(LOSSES[name], **kwargs)
    # Its errors come when it is traced: here, before anything is trained.
    outputs, labels = jax.ShapeDtypeStruct((1, num_classes), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.int32)
    jax.eval_shape(function, outputs, labels)
    return function
