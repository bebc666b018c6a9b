"""Counting the multiply-adds of a computation, from its trace: those of convolutions and of products of matrices.

A product and a sum count as one, as papers count them; as floating-point operations they are two. Everything else that
a network computes is left out, as papers do.
"""

import itertools
import math
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal


def of_function(function: Callable, *arguments: Any) -> int:
    """Of one call of `function`, on all devices together, without running it; arguments may be shapes.

    A loop counts as often as it runs, where that is known before, else once; of the branches of a condition the dearest
    counts.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr)


def of_gradient(function: Callable, wanted: Any, *others: Any) -> int:
    """Of one call of `function` and of its gradient with respect to `wanted`.

    Each product counts once more for each of its factors through which the gradient goes, so that `function` alone has
    to be traced. Where a product is in a loop or a branch, or in what is computed a second time, or where there is a
    `jax.custom_vjp`, the gradient is traced too, and its products are counted as JAX writes them: for the gradient of a
    convolution's images it pads, and zeros beyond an edge count there.

    Args:
      function: of `wanted` and `others`, to one number.
      wanted: floating-point arrays or their shapes, or a tree of them.
      others: arrays or their shapes, or trees of them.
    """
    jaxpr = jax.make_jaxpr(function)(wanted, *others).jaxpr
    inputs = [object() for _ in jaxpr.invars]
    straight: list[_Operation] = []
    try:
        objective = _straighten(jaxpr, inputs, straight)
    except _NotStraight:
        return of_function(jax.value_and_grad(function), wanted, *others)

    varying = set(inputs[: len(jax.tree.leaves(wanted))])
    for equation, given, results in straight:
        if equation.primitive.name not in _FLAT and not varying.isdisjoint(given):
            has_gradient = (jnp.issubdtype(variable.aval.dtype, jnp.inexact) for variable in equation.outvars)
            varying.update(itertools.compress(results, has_gradient))
    total, reached = 0, varying.intersection(objective)
    for equation, given, results in reversed(straight):
        differentiated = [] if reached.isdisjoint(results) else [name for name in given if name in varying]
        total += of_equation(equation) * (1 + len(differentiated))
        reached.update(differentiated)
    return total


def of_equation(equation: Any) -> int:
    """Of one equation of a jaxpr, for itself: what it calls is not looked into."""
    if equation.primitive.name not in ("dot_general", "conv_general_dilated"):
        return 0
    outputs = math.prod(equation.outvars[0].aval.shape)
    if equation.primitive.name == "dot_general":
        contracted = equation.params["dimension_numbers"][0][0]
        shape = equation.invars[0].aval.shape
        return outputs * math.prod(shape[axis] for axis in contracted)
    kernel = equation.invars[1].aval.shape
    numbers = equation.params["dimension_numbers"]
    if set(equation.params["lhs_dilation"]) != {1}:  # transposed: each input meets the kernel, zeros do not count
        inputs = equation.invars[0].aval.shape
        return math.prod(inputs) // inputs[numbers.lhs_spec[1]] * math.prod(kernel)
    return outputs * math.prod(kernel) // kernel[numbers.rhs_spec[0]]


def _of_jaxpr(jaxpr: Jaxpr) -> int:
    return sum(_of_any(equation) for equation in jaxpr.eqns)


def _of_any(equation: Any) -> int:
    inner = [_of_jaxpr(jaxpr) for jaxpr in jaxprs(equation)]
    if not inner:
        return of_equation(equation)
    if equation.primitive.name == "cond":
        return max(inner)
    times = equation.params["length"] if equation.primitive.name == "scan" else 1
    if equation.primitive.name == "shard_map":  # what each device computes
        times = equation.params["mesh"].size
    return times * sum(inner)


_FLAT = {"stop_gradient", "floor", "ceil", "round", "sign"}
"""The operations on floating-point numbers through which no gradient goes."""


class _Operation(NamedTuple):
    """An equation that calls nothing with a product in it; names of what goes in, None for a constant, and of what
    comes out, of which each is given once in the whole."""

    equation: Any
    given: list[Hashable]
    results: list[Hashable]


class _NotStraight(Exception):  # noqa: N818  it is no error
    """There is something of which the gradient cannot be told from what it computes."""


def _straighten(jaxpr: Jaxpr, inputs: list[Hashable], found: list[_Operation]) -> list[Hashable]:
    """Adds the equations of `jaxpr`, and of what it calls, in their order, and returns the names of its results."""
    names: dict[Any, Hashable] = dict(zip(jaxpr.invars, inputs, strict=True))

    def name(atom: Any) -> Hashable:
        return None if isinstance(atom, Literal) else names.setdefault(atom, object())

    for equation in jaxpr.eqns:
        given = [name(atom) for atom in equation.invars]
        if equation.primitive.name == "jit":
            results = _straighten(equation.params["jaxpr"].jaxpr, given, found)
        elif equation.primitive.name.startswith("custom_vjp_call") or any(map(_of_jaxpr, jaxprs(equation))):
            raise _NotStraight
        else:
            results = [object() for _ in equation.outvars]
            found.append(_Operation(equation, given, results))
        names.update(zip(equation.outvars, results, strict=True))
    return [name(atom) for atom in jaxpr.outvars]


def jaxprs(equation: Any) -> Iterator[Jaxpr]:
    """What an equation of a jaxpr calls: the body of a loop, the branches of a condition, a function."""
    for value in equation.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            inner = part.jaxpr if isinstance(part, ClosedJaxpr) else part
            if isinstance(inner, Jaxpr):
                yield inner
