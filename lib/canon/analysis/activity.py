"""What the nonlinearities and gradients of a network do while it trains: saturation, dead units, gradient norms.

A unit is *flat* on an example where the slope of its nonlinearity is below a twentieth of the steepest that it has: a
sigmoid or tanh that is saturated, a rectifier that is off (Glorot and Bengio 2010, section 3). A unit is *dead* in a
batch where it is flat on every example and at every position: then nothing in the batch changes its weights.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax import numpy as jnp

from canon.layers.activations import Activation

ACTIVITY = "activity"
"""The collection into which `watching` sows."""

FLAT = 0.05
"""The share of the steepest slope below which a unit is flat."""


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Within it, every `Activation` of a network that is applied sows its shares of flat and dead units.

        with activity.watching():
            logits, state = model.apply(variables, images, mutable=[activity.ACTIVITY])
        shares = activity.shares(state)

    Units are those of the last axis for `dead`, and every element of the output for `saturation`.
    """

    def watch(following, args, kwargs, context):
        result = following(*args, **kwargs)
        layer = context.module
        if type(layer) is Activation and context.method_name == "__call__":
            flat = is_flat(layer.function, args[0])
            values = {"saturation": flat, "dead": flat.all(axis=range(flat.ndim - 1))}
            for name, value in values.items():
                share = value.astype(jnp.float32).mean()
                layer.sow(ACTIVITY, name, share, reduce_fn=lambda _, new: new, init_fn=lambda: None)
        return result

    with nn.intercept_methods(watch):
        yield


def shares(state: Mapping[str, Any]) -> dict[str, jax.Array]:
    """What `watching` sowed, by `saturation/LAYER` and `dead/LAYER`: scalars from 0 to 1."""
    return {"/".join((path[-1], *path[:-1])): share for path, share in flatten_dict(dict(state[ACTIVITY])).items()}


def is_flat(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Where an elementwise function is flat: `[...] -> [...]` bool."""
    return jnp.abs(_slope(function, jax.lax.stop_gradient(x))) < FLAT * _steepest(function)


@functools.cache
def _steepest(function: Callable[[jax.Array], jax.Array]) -> float:
    with jax.ensure_compile_time_eval():
        return float(np.abs(_slope(function, jnp.linspace(-8, 8, 1601, dtype=jnp.float32))).max())


def _slope(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    y, pull = jax.vjp(function, x)  # backwards, which a `jax.custom_vjp` has too
    return pull(jnp.ones_like(y))[0]


def gradient_norms(gradient: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The L2 norm of the gradient of each layer's parameters, by `gradient_norm/LAYER`: scalars."""
    layers: dict[str, list[jax.Array]] = {}
    for path, leaf in flatten_dict(dict(gradient)).items():
        layers.setdefault("/".join(path[:-1]), []).append(leaf)
    return {f"gradient_norm/{layer}": optax.tree.norm(leaves) for layer, leaves in layers.items()}
