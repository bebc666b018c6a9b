"""Nonlinearities, and a layer that gives them a name in a network."""

from collections.abc import Callable

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError, did_you_mean
from canon.layers.materialized import materialized


def scaled_tanh(x: jax.Array) -> jax.Array:
    """A tanh(S x) with A = 1.7159 and S = 2/3, so that f(±1) = ±1: LeCun et al. 1998, appendix A. Any shape."""
    return 1.7159 * jnp.tanh(2 / 3 * x)


@jax.custom_vjp
def relu_by_hand(x: jax.Array) -> jax.Array:
    """max(0, x), any shape, with its gradient written out: how to give a function a gradient of one's own.

    `jax.custom_vjp` takes two functions. The forward one returns the result and whatever the backward one will need of
    it; the backward one gets that and the gradient with respect to the result, and returns one for each argument. Here
    the signs are kept, a byte an element. It equals `jax.nn.relu`, whose gradient at 0 is 0 too.
    """
    return jnp.maximum(x, jnp.zeros((), x.dtype))


def _relu_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return relu_by_hand(x), x > 0


def _relu_backward(is_positive: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (jnp.where(is_positive, gradient, jnp.zeros((), gradient.dtype)),)


relu_by_hand.defvjp(_relu_forward, _relu_backward)


softmax = nn.softmax
"""exp(z_i) / Σ_j exp(z_j) over the last axis, without overflow: `[..., classes]`, likewise out."""


def softmax_jacobian(logits: jax.Array) -> jax.Array:
    """∂ softmax(z)_i / ∂z_j = y_i (δ_ij − y_j): `[..., classes] -> [..., classes, classes]`. Its rows sum to 0."""
    y = softmax(logits)
    return y[..., :, None] * (jnp.eye(y.shape[-1], dtype=y.dtype) - y[..., None, :])


ACTIVATIONS = {
    "relu": nn.relu,
    "relu_by_hand": relu_by_hand,
    "scaled_tanh": scaled_tanh,
    "sigmoid": nn.sigmoid,
    "tanh": jnp.tanh,
}


def activation(name: str) -> Callable[[jax.Array], jax.Array]:
    """The nonlinearity called `name`. Raises `UserError` where there is none."""
    if name not in ACTIVATIONS:
        raise UserError(
            f"no activation is called {name!r}{did_you_mean(name, ACTIVATIONS)} (there are: {', '.join(ACTIVATIONS)})"
        )
    return ACTIVATIONS[name]


class Activation(nn.Module):
    """A nonlinearity as a layer, any shape to the same: its output has a name among a network's intermediates."""

    function: Callable[[jax.Array], jax.Array] = nn.relu

    def __call__(self, x: jax.Array) -> jax.Array:
        return materialized(self.function(x))
