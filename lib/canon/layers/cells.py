"""Recurrent cells: one step of time, as pure functions of parameters, carry and input.

A cell is given the input's share of its sums, for all of its gates at once: the product of an input and `input_kernel`,
plus `bias`. It depends on no carry, so that a layer computes it for all steps in one product of matrices, before it
runs the cell (see `canon.layers.recurrence`). Whatever the cell, its output is the first array of its new carry.

Shapes: h and c `[batch, features]`, the input's share x `[batch, gates · features]`, gates side by side in the order
in which `Cell.gates` names them; `recurrent_kernel` `[features, gates · features]`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
from flax import linen as nn
from jax import numpy as jnp

from canon.errors import UserError, did_you_mean

Parameters = Mapping[str, jax.Array]
Carry = tuple[jax.Array, ...]


@dataclass(frozen=True)
class Cell:
    """What a layer needs to know of a cell.

    Attributes:
      gates: their names, in the order in which they lie side by side.
      carry: the names of what passes from step to step, each `[batch, features]`; the first is the output, too.
      step: `(parameters, carry, x) -> carry`.
      extra: shapes of parameters besides `input_kernel`, `recurrent_kernel` and `bias`, in units of features.
    """

    gates: tuple[str, ...]
    carry: tuple[str, ...]
    step: Callable[[Parameters, Carry, jax.Array], Carry]
    extra: Mapping[str, tuple[int, ...]]


def rnn(parameters: Parameters, carry: Carry, x: jax.Array) -> Carry:
    """h' = tanh(x + h U): Elman 1990, "Finding structure in time"."""
    (h,) = carry
    return (jnp.tanh(x + h @ parameters["recurrent_kernel"]),)


def lstm(parameters: Parameters, carry: Carry, x: jax.Array) -> Carry:
    """Long short-term memory: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    i, f, o = σ(x + h U), g = tanh(x + h U), each with its own part of x and U; c' = f c + i g; h' = o tanh(c').
    """
    h, c = carry
    i, f, g, o = jnp.split(x + h @ parameters["recurrent_kernel"], 4, axis=-1)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
    return nn.sigmoid(o) * jnp.tanh(c), c


def lstm_peephole(parameters: Parameters, carry: Carry, x: jax.Array) -> Carry:
    """The LSTM whose gates see the memory: Graves 2013, equations 7 to 11.

    Input and forget gates see c, the output gate sees c', each through a diagonal matrix: the rows of `peephole`, in
    the order i, f, o.
    """
    h, c = carry
    see_i, see_f, see_o = parameters["peephole"]
    i, f, g, o = jnp.split(x + h @ parameters["recurrent_kernel"], 4, axis=-1)
    c = nn.sigmoid(f + see_f * c) * c + nn.sigmoid(i + see_i * c) * jnp.tanh(g)
    return nn.sigmoid(o + see_o * c) * jnp.tanh(c), c


def gru(parameters: Parameters, carry: Carry, x: jax.Array) -> Carry:
    """The gated recurrent unit with its reset gate after the product, as cuDNN and PyTorch have it.

    r, z = σ(x + h U), n = tanh(x + r (h U + b)), h' = (1 − z) n + z h; b is `candidate_bias`.
    """
    (h,) = carry
    x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(h @ parameters["recurrent_kernel"], 3, axis=-1)
    r, z = nn.sigmoid(x_r + h_r), nn.sigmoid(x_z + h_z)
    return ((1 - z) * jnp.tanh(x_n + r * (h_n + parameters["candidate_bias"][0])) + z * h,)


def gru_reset_before(parameters: Parameters, carry: Carry, x: jax.Array) -> Carry:
    """The gated recurrent unit as it was first: Cho et al. 2014, equations 5 to 8.

    As `gru`, but n = tanh(x + (r h) U): the reset gate comes before the product.
    """
    (h,) = carry
    features = h.shape[-1]
    kernel = parameters["recurrent_kernel"]
    x_n = x[..., 2 * features :]
    r, z = jnp.split(nn.sigmoid(x[..., : 2 * features] + h @ kernel[:, : 2 * features]), 2, axis=-1)
    return ((1 - z) * jnp.tanh(x_n + (r * h) @ kernel[:, 2 * features :]) + z * h,)


CELLS = {
    "gru": Cell(("r", "z", "n"), ("h",), gru, {"candidate_bias": (1,)}),
    "gru_reset_before": Cell(("r", "z", "n"), ("h",), gru_reset_before, {}),
    "lstm": Cell(("i", "f", "g", "o"), ("h", "c"), lstm, {}),
    "lstm_peephole": Cell(("i", "f", "g", "o"), ("h", "c"), lstm_peephole, {"peephole": (3,)}),
    "rnn": Cell(("h",), ("h",), rnn, {}),
}


def cell(name: str) -> Cell:
    """The cell called `name`. Raises `UserError` where there is none."""
    if name not in CELLS:
        raise UserError(f"no cell is called {name!r}{did_you_mean(name, CELLS)} (there are: {', '.join(CELLS)})")
    return CELLS[name]
