"""A function run operation by operation, each compiled once: for what runs once and holds the same things many times.

The state of a 56-layer net is 57 random draws of seven shapes, and as many zeros and ones. In one program each of them
is compiled, which takes XLA's CPU backend five seconds even without optimisation; one at a time it takes two and a
half, and next to nothing for the next net with layers of these shapes (two cores of an AMD EPYC, jax 0.10.2,
2026-11-26).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp
from jax.extend import core


def op_by_op(function: Callable, *examples: Any) -> tuple[Callable, Any]:
    """A function, traced once, that runs operation by operation, those that its result needs.

    What it calls that is under `jax.jit`, such as a draw of `jax.random`, is one operation.

    Args:
      function: of arrays, or trees of them.
      examples: of its arguments, or their shapes.

    Returns:
      The function, and the shapes of its result.
    """
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(*examples)
    needed, structure = _needed(traced), jax.tree.structure(shapes)

    def run(*arguments: Any) -> Any:
        given = jax.tree.leaves(arguments)
        return jax.tree.unflatten(structure, _own(_evaluate(needed, given), [*given, *needed.consts]))

    return run, shapes


def _own(results: list[Any], others: list[Any]) -> list[jax.Array]:
    """Arrays of which none is another or one of `others`, so that each can be given away."""
    seen = set(map(id, others))
    owned = []
    for result in results:
        owned.append(jnp.array(result) if id(result) in seen or not isinstance(result, jax.Array) else result)
        seen.add(id(result))
    return owned


def _needed(traced: core.ClosedJaxpr) -> core.ClosedJaxpr:
    wanted = set(map(id, traced.jaxpr.outvars))
    equations = []
    for equation in reversed(traced.jaxpr.eqns):
        if equation.effects or not wanted.isdisjoint(map(id, equation.outvars)):
            equations.append(equation)
            wanted.update(map(id, equation.invars))
    return core.ClosedJaxpr(traced.jaxpr.replace(eqns=equations[::-1]), traced.consts)


def _evaluate(traced: core.ClosedJaxpr, arguments: list[jax.Array]) -> list[jax.Array]:
    jaxpr = traced.jaxpr
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*traced.consts, *arguments), strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        given = map(value, equation.invars)
        if equation.primitive.name in ("jit", "pjit"):
            found = _compiled(equation.params["jaxpr"])(*given)
        else:
            found = equation.primitive.bind(*given, **equation.primitive.get_bind_params(equation.params))
        several = equation.primitive.multiple_results
        known.update(zip(equation.outvars, found if several else [found], strict=True))
    return [value(atom) for atom in jaxpr.outvars]


@functools.lru_cache(maxsize=256)
def _compiled(piece: core.ClosedJaxpr) -> Callable:
    # JAX keeps traces: calls of one function with arguments of the same shapes are the same object.
    return jax.jit(core.jaxpr_as_fun(piece), compiler_options={"xla_backend_optimization_level": 0})
