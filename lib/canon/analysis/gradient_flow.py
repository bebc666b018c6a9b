"""How gradients flow back through time: what a carry of long ago still does to one of now.

Bengio, Simard and Frasconi 1994, "Learning long-term dependencies with gradient descent is difficult"; Pascanu, Mikolov
and Bengio 2013, section 2: ∂h_t / ∂h_k is a product of Jacobians of single steps; it vanishes or explodes with t − k.
"""

import functools

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.cells import Carry, Cell, Parameters, cell


def jacobian_norms(kind: Cell, parameters: Parameters, x: jax.Array, carry: Carry, part: str = "carry") -> np.ndarray:
    """The spectral norm of ∂(carry after all steps) / ∂(carry d steps before), by distance d.

    Args:
      kind: the cell.
      parameters: its own.
      x: the input's share of the cell's sums, `[time, gates · features]`: of one sequence (see
        `canon.layers.recurrence`).
      carry: before the first step, each array `[features]`.
      part: `carry`, of all that is carried; or one of it, such as `h`: of its own old value, the others held fixed.

    Returns:
      `[time + 1]` float64; the first, at distance 0, is 1. Infinite from where the product exceeds float64.

    Raises:
      UserError: there is no such part.
    """
    if part not in ("carry", *kind.carry):
        raise UserError(f"part must be carry or one of {', '.join(kind.carry)}, not {part!r}")
    jacobians = np.asarray(_step_jacobians(kind.step, dict(parameters), x, carry), np.float64)
    features = carry[0].shape[-1]
    product = np.eye(jacobians.shape[-1])
    begin = 0 if part == "carry" else kind.carry.index(part) * features
    seen = slice(begin, None if part == "carry" else begin + features)
    norms = [1.0]
    for jacobian in jacobians[::-1]:
        with np.errstate(over="ignore", invalid="ignore"):  # exploding is one of the two things that it can do
            product = product @ jacobian
        finite = np.isfinite(product).all()
        norms.append(np.linalg.norm(product[seen, seen], ord=2) if finite else np.inf)
    return np.array(norms)


@functools.partial(jax.jit, static_argnums=0)
def _step_jacobians(step, parameters: Parameters, x: jax.Array, carry: Carry) -> jax.Array:
    """∂(carry after a step) / ∂(carry before it), of each step: `[time, width, width]`, the carry laid end to end."""
    widths = np.cumsum([a.shape[-1] for a in carry])[:-1]

    def flat_step(flat: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.concatenate(step(parameters, tuple(jnp.split(flat, widths)), x))

    def one(flat: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return flat_step(flat, x), jax.jacrev(flat_step)(flat, x)

    return lax.scan(one, jnp.concatenate(carry), x)[1]


def of_layer(name: str, parameters: Parameters, x: jax.Array, part: str = "carry") -> np.ndarray:
    """`jacobian_norms` of a `canon.layers.recurrence.Recurrence` over a sequence `[time, inputs]`, from a carry of 0.

    Args:
      name: of its cell.
      parameters: the layer's, trained or as they began.
      x: the sequence.
      part: see `jacobian_norms`.
    """
    kind = cell(name)
    share = jnp.asarray(x) @ parameters["input_kernel"] + parameters["bias"]
    features = parameters["recurrent_kernel"].shape[0]
    carry = tuple(jnp.zeros(features, share.dtype) for _ in kind.carry)
    return jacobian_norms(kind, parameters, share, carry, part)


def singular_values(name: str, parameters: Parameters) -> dict[str, np.ndarray]:
    """The singular values of each gate's recurrent matrix, by the gate's name: `[features]`, the largest first.

    A plain network's gradient cannot explode where the largest is below 1 (Pascanu et al. 2013, section 2.1).
    """
    kernel = np.asarray(parameters["recurrent_kernel"], np.float64)
    gates = cell(name).gates
    parts = np.split(kernel, len(gates), axis=1)
    return {gate: np.linalg.svd(part, compute_uv=False) for gate, part in zip(gates, parts, strict=True)}
