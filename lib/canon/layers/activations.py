"""Nonlinearities, and a layer that gives them a name in a network."""

from collections.abc import Callable

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError, did_you_mean


def scaled_tanh(x: jax.Array) -> jax.Array:
    """A tanh(S x) with A = 1.7159 and S = 2/3, so that f(±1) = ±1: LeCun et al. 1998, appendix A. Any shape."""
    return 1.7159 * jnp.tanh(2 / 3 * x)


ACTIVATIONS = {
    "relu": nn.relu,
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
        return self.function(x)
