"""Counting the multiply-adds of a computation, from its trace: those of convolutions and of products of matrices.

A product and a sum count as one, as papers count them; as floating-point operations they are two. Everything else that
a network computes is left out, as papers do.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr


def of_function(function: Callable, *arguments: Any) -> int:
    """Of one call of `function`, on all devices together, without running it; arguments may be shapes.

    A loop counts as often as it runs, where that is known before, else once; of the branches of a condition the dearest
    counts.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr)


def of_equation(equation: Any) -> int:
    """Of one equation of a jaxpr that calls no other."""
    outputs = math.prod(equation.outvars[0].aval.shape)
    if equation.primitive.name == "dot_general":
        contracted = equation.params["dimension_numbers"][0][0]
        shape = equation.invars[0].aval.shape
        return outputs * math.prod(shape[axis] for axis in contracted)
    if equation.primitive.name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        numbers = equation.params["dimension_numbers"]
        if set(equation.params["lhs_dilation"]) != {1}:  # transposed: each input meets the kernel, zeros do not count
            inputs = equation.invars[0].aval.shape
            return math.prod(inputs) // inputs[numbers.lhs_spec[1]] * math.prod(kernel)
        return outputs * math.prod(kernel) // kernel[numbers.rhs_spec[0]]
    return 0


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


def jaxprs(equation: Any) -> Iterator[Jaxpr]:
    """What an equation of a jaxpr calls: the body of a loop, the branches of a condition, a function."""
    for value in equation.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            inner = part.jaxpr if isinstance(part, ClosedJaxpr) else part
            if isinstance(inner, Jaxpr):
                yield inner
