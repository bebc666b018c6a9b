"""The LSTM over time, with its gradient written out.

What JAX derives for a scan adds each step's share of the recurrent kernel's gradient to a matrix that goes through
memory at every step. Here the backward pass leaves the gradients of the gates behind, for all steps, and the kernel's
is one product of two tall matrices after it. The gates are kept as they came out of their nonlinearities; tanh(c) is
computed again, which costs less than to write and read it. Forward-mode differentiation (`jax.jvp`) stops here, though
not at the gradient.

Graves 2013, "Generating sequences with recurrent neural networks", equations 7 to 11; without peepholes the same with
rows of zeros.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from canon.layers import cells
from canon.layers.batch_sums import sum_to_channels
from canon.layers.cells import Carry, Parameters
from canon.layers.materialized import materialized

STEPS = (cells.lstm, cells.lstm_peephole)


def run(
    parameters: Parameters, x: jax.Array, carry: Carry, inside: jax.Array | None, reverse: bool, unroll: int
) -> tuple[jax.Array, Carry]:
    """As `canon.layers.recurrence.run`, for a cell of `STEPS`; `inside` is `[time, batch, 1]`, or None."""

    def forward(parameters, x, carry, inside):
        def step(carry, at):
            _, output, carry = _step(parameters, lambda h: h @ parameters["recurrent_kernel"], carry, *at)
            return carry, output

        last, outputs = lax.scan(step, carry, (x, inside), reverse=reverse, unroll=unroll)
        return outputs, last

    def forward_rule(parameters, x, carry, inside):
        outputs, last, kept = _forward(parameters, x, carry, inside, reverse, unroll)
        return (outputs, last), (parameters, inside, kept)

    def backward_rule(residuals, gradients):
        return *_backward(*residuals, *gradients, reverse, unroll), None

    if not len(x):  # nothing to keep, and nothing to write out
        return forward(dict(parameters), x, carry, inside)
    scan = jax.custom_vjp(forward)
    scan.defvjp(forward_rule, backward_rule)
    return scan(dict(parameters), x, carry, inside)


def _step(
    parameters: Parameters,
    product: Callable[[jax.Array], jax.Array],
    carry: Carry,
    x: jax.Array,
    inside: jax.Array | None,
) -> tuple[jax.Array, jax.Array, Carry]:
    """The gates after their nonlinearities `[batch, 4 · features]`, the output `[batch, features]`, and the carry.

    `product` multiplies h by the recurrent kernel; x is `[batch, 4 · features]`, and `inside` `[batch, 1]` or None.
    """
    h, c = carry
    gates = _gates(x + product(h) + parameters["bias"], c, parameters.get("peephole"))
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    new_c = f * c + i * g
    output = new_h = o * jnp.tanh(new_c)
    if inside is not None:  # past the end of a sequence its carry stands still
        output = jnp.where(inside, new_h, jnp.zeros((), new_h.dtype))
        new_h, new_c = jnp.where(inside, new_h, h), jnp.where(inside, new_c, c)
    return gates, output, (new_h, new_c)


def _gates(sums: jax.Array, c: jax.Array, peephole: jax.Array | None) -> jax.Array:
    """i, f, g, o side by side, `[batch, 4 · features]` as the sums are, after their nonlinearities."""
    if peephole is None:  # all four in one elementwise operation: σ is tanh, scaled and shifted
        features = c.shape[-1]
        half, one, none = (np.full(features, value, sums.dtype) for value in (0.5, 1, 0))
        scale, shift = np.concatenate([half, half, one, half]), np.concatenate([half, half, none, half])
        return scale * jnp.tanh(scale * sums) + shift
    i, f, g, o = jnp.split(sums, 4, axis=-1)
    i, f, g = _sigmoid(i + peephole[0] * c), _sigmoid(f + peephole[1] * c), jnp.tanh(g)
    o = _sigmoid(o + peephole[2] * (f * c + i * g))
    return jnp.concatenate([i, f, g, o], axis=-1)


def _sigmoid(x: jax.Array) -> jax.Array:
    """σ by tanh, for which XLA has a polynomial: on a CPU that is quicker than a division by 1 + exp."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def _forward(parameters, x, carry, inside, reverse, unroll) -> tuple[jax.Array, Carry, Any]:
    """Outputs, the last carry, and what the backward pass wants of each step: h, c and the gates."""
    # A row of h times a row of the transposed kernel is what a CPU multiplies fastest when there are few rows of h.
    transposed = materialized(parameters["recurrent_kernel"].T)

    def product(h):
        return lax.dot_general(h, transposed, (((1,), (1,)), ((), ())))

    def step(carry, at):
        gates, output, new = _step(parameters, product, carry, *at)
        return new, (output, *carry, gates)

    last, (outputs, h, c, gates) = lax.scan(step, carry, (x, inside), reverse=reverse, unroll=unroll)
    return outputs, last, (h, c, gates)


def _backward(parameters, inside, kept, of_outputs, of_last, reverse, unroll):
    """The gradients with respect to parameters, x and the first carry."""
    kernel, peephole = parameters["recurrent_kernel"], parameters.get("peephole")
    h, c, gates = kept

    def step(carry, at):
        (of_h, of_c), (of_output, c, gates, inside) = carry, at
        i, f, g, o = jnp.split(materialized(gates), 4, axis=-1)  # or each use would read them from among all steps
        beyond = None
        if inside is not None:  # past the end of a sequence its carry passes through, and its output is a constant
            zero = jnp.zeros((), of_h.dtype)
            beyond = [jnp.where(inside, zero, a) for a in (of_h, of_c)]
            of_h, of_c, of_output = (jnp.where(inside, a, zero) for a in (of_h, of_c, of_output))
        tanh_c = materialized(jnp.tanh(f * c + i * g))  # once, and not for each of the four gradients
        of_h = of_h + of_output
        of_o = of_h * tanh_c * o * (1 - o)
        of_c = of_c + of_h * o * (1 - tanh_c * tanh_c)
        if peephole is not None:
            of_c = of_c + of_o * peephole[2]
        of_i, of_f, of_g = of_c * g * i * (1 - i), of_c * c * f * (1 - f), of_c * i * (1 - g * g)
        # Laid side by side as they are, not as they are computed: a fused concatenation is not vectorised on a CPU.
        of_gates = jnp.concatenate(materialized((of_i, of_f, of_g, of_o)), axis=-1)
        of_c = of_c * f
        if peephole is not None:
            of_c = of_c + of_i * peephole[0] + of_f * peephole[1]
        of_h = of_gates @ kernel.T
        if beyond is not None:
            of_h, of_c = of_h + beyond[0], of_c + beyond[1]
        return (of_h, of_c), of_gates

    # The other way round in time.
    steps = of_outputs, c, gates, inside
    of_first, of_x = lax.scan(step, of_last, steps, reverse=not reverse, unroll=unroll)
    flat = of_x.reshape(-1, of_x.shape[-1])
    columns_of_h = materialized(h.reshape(-1, h.shape[-1]).T)
    of_parameters = {"recurrent_kernel": columns_of_h @ flat, "bias": sum_to_channels(flat)}
    if peephole is not None:
        i, f, g, _ = jnp.split(gates, 4, axis=-1)
        of_i, of_f, _, of_o = jnp.split(of_x, 4, axis=-1)
        seen = (of_i, c), (of_f, c), (of_o, f * c + i * g)
        of_parameters["peephole"] = jnp.stack([(a * b).sum((0, 1)) for a, b in seen])
    return of_parameters, of_x, of_first
