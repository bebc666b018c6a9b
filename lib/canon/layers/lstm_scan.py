"""The LSTM over time, with its gradient written out.

What JAX derives for a scan adds each step's share of the recurrent kernel's gradient to a matrix that goes through
memory at every step. Here the backward pass leaves the gradients of the gates behind, for all steps, and the kernel's
is one product of two tall matrices after it; and the gates are kept as they came out of their nonlinearities, so that
none is computed twice. Forward-mode differentiation (`jax.jvp`) stops here, though not at the gradient.

Graves 2013, "Generating sequences with recurrent neural networks", equations 7 to 11; without peepholes the same with
rows of zeros.
"""

from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from canon.layers import cells
from canon.layers.batch_sums import sum_to_channels
from canon.layers.cells import Carry, Parameters

STEPS = (cells.lstm, cells.lstm_peephole)


def run(
    parameters: Parameters, x: jax.Array, carry: Carry, inside: jax.Array | None, reverse: bool, unroll: int
) -> tuple[jax.Array, Carry]:
    """As `canon.layers.recurrence.run`, for a cell of `STEPS`; `inside` is `[time, batch, 1]`, or None."""

    def forward(parameters, x, carry, inside):
        outputs, last, _ = _forward(parameters, x, carry, inside, reverse, unroll)
        return outputs, last

    def forward_rule(parameters, x, carry, inside):
        outputs, last, kept = _forward(parameters, x, carry, inside, reverse, unroll)
        return (outputs, last), (parameters, inside, kept)

    def backward_rule(residuals, gradients):
        return *_backward(*residuals, *gradients, reverse, unroll), None

    scan = jax.custom_vjp(forward)
    scan.defvjp(forward_rule, backward_rule)
    return scan(dict(parameters), x, carry, inside)


def _sigmoid(x: jax.Array) -> jax.Array:
    """σ by tanh, for which XLA has a polynomial: on a CPU that is quicker than a division by 1 + exp."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def _forward(parameters, x, carry, inside, reverse, unroll) -> tuple[jax.Array, Carry, Any]:
    """Outputs, the last carry, and what the backward pass wants of each step: h, c, gates, tanh(c) after it."""
    kernel, bias, peephole = (parameters.get(name) for name in ("recurrent_kernel", "bias", "peephole"))

    def step(carry, at):
        (h, c), (x, inside) = carry, at
        i, f, g, o = jnp.split(x + h @ kernel + bias, 4, axis=-1)
        if peephole is not None:
            i, f = i + peephole[0] * c, f + peephole[1] * c
        i, f, g = _sigmoid(i), _sigmoid(f), jnp.tanh(g)
        new_c = f * c + i * g
        o = _sigmoid(o if peephole is None else o + peephole[2] * new_c)
        tanh_c = jnp.tanh(new_c)
        new_h = o * tanh_c
        kept = (h, c, i, f, g, o, tanh_c) if peephole is None else (h, c, i, f, g, o, tanh_c, new_c)
        output = new_h
        if inside is not None:
            output = jnp.where(inside, new_h, jnp.zeros((), new_h.dtype))
            new_h, new_c = jnp.where(inside, new_h, h), jnp.where(inside, new_c, c)
        return (new_h, new_c), (output, kept)

    last, (outputs, kept) = lax.scan(step, carry, (x, inside), reverse=reverse, unroll=unroll)
    return outputs, last, kept


def _backward(parameters, inside, kept, of_outputs, of_last, reverse, unroll):
    """The gradients with respect to parameters, x and the first carry."""
    kernel, peephole = parameters["recurrent_kernel"], parameters.get("peephole")
    transposed = kernel.T

    def step(carry, at):
        (of_h, of_c), (of_output, (c, i, f, g, o, tanh_c), inside) = carry, at
        beyond = None
        if inside is not None:  # past the end of a sequence its carry passes through, and its output is a constant
            zero = jnp.zeros((), of_h.dtype)
            beyond = [jnp.where(inside, zero, a) for a in (of_h, of_c)]
            of_h, of_c, of_output = (jnp.where(inside, a, zero) for a in (of_h, of_c, of_output))
        of_h = of_h + of_output
        of_o = of_h * tanh_c * o * (1 - o)
        of_c = of_c + of_h * o * (1 - tanh_c * tanh_c)
        if peephole is not None:
            of_c = of_c + of_o * peephole[2]
        of_i, of_f, of_g = of_c * g * i * (1 - i), of_c * c * f * (1 - f), of_c * i * (1 - g * g)
        # Laid side by side as they are, not as they are computed: a fused concatenation is not vectorised on a CPU.
        of_gates = jnp.concatenate(lax.optimization_barrier((of_i, of_f, of_g, of_o)), axis=-1)
        of_c = of_c * f
        if peephole is not None:
            of_c = of_c + of_i * peephole[0] + of_f * peephole[1]
        of_h = of_gates @ transposed
        if beyond is not None:
            of_h, of_c = of_h + beyond[0], of_c + beyond[1]
        return (of_h, of_c), of_gates

    # The other way round in time.
    steps = of_outputs, kept[1:7], inside
    of_first, of_x = lax.scan(step, of_last, steps, reverse=not reverse, unroll=unroll)
    h, c = kept[:2]
    flat = of_x.reshape(-1, of_x.shape[-1])
    of_parameters = {"recurrent_kernel": h.reshape(-1, h.shape[-1]).T @ flat, "bias": sum_to_channels(flat)}
    if peephole is not None:
        of_i, of_f, _, of_o = jnp.split(of_x, 4, axis=-1)
        of_parameters["peephole"] = jnp.stack([(a * b).sum((0, 1)) for a, b in ((of_i, c), (of_f, c), (of_o, kept[7]))])
    return of_parameters, of_x, of_first
