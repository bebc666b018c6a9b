"""Receptive fields: which part of the image each unit of a network sees.

Computed from the network's own operations, in one walk over its jaxpr, so that branches, shortcuts and groups need no
rules of their own. Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from flax import linen as nn
from jax.extend.core import Jaxpr, Literal

from canon.analysis import layers
from canon.analysis.fields import Equation, Field, Fields, through


@dataclass(frozen=True)
class ReceptiveField:
    """Of a layer's units, for each spatial axis of the image.

    Attributes:
      size: pixels that a unit sees, those of padding included.
      stride: pixels between the fields of neighbours; None for a layer that has no positions any more.
      padding: how far the first unit's field reaches out of the image.
      sees_all: whether a gate shows it all of the image besides.
    """

    size: tuple[int, ...]
    stride: tuple[Fraction, ...] | None
    padding: tuple[int, ...]
    sees_all: bool


def receptive_fields(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, ReceptiveField]:
    """The receptive field of every layer of a network, by the layer's name.

    Args:
      model: a network of `canon.models`, or any other whose input is `[batch, *spatial, channels]`.
      input_shape: (*spatial, channels).

    Raises:
      UserError: the network cannot take such an image.
    """
    trace = layers.trace(model, input_shape)
    return {trace.layers[i].name: field for i, field in of_trace(trace).items() if trace.layers[i].is_used}


def of_trace(trace: layers.Trace) -> dict[int, ReceptiveField]:
    """The receptive field of every layer that sees the image, by the layer's index in the trace."""
    seen: dict[int, ReceptiveField] = {}

    def at_end_of_layer(equation: Equation, fields: Fields) -> None:
        marked = layers.mark(equation)
        if marked and marked[0] == "end" and marked[1] not in seen and fields is not None:
            strides = tuple(f.stride for f in fields)
            has_positions = any(f.axis is not None for f in fields)
            seen[marked[1]] = ReceptiveField(
                size=tuple(f.size for f in fields),
                stride=strides if has_positions else None,
                padding=tuple(math.floor(-f.low) for f in fields),
                sees_all=any(f.sees_all for f in fields),
            )

    image = tuple(Field(Fraction(0), Fraction(0), Fraction(1), axis) for axis in range(1, len(trace.input_shape)))
    jaxpr = trace.jaxpr.jaxpr
    inputs = [None] * (len(jaxpr.invars) - 1) + [image]
    _walk(jaxpr, inputs, [None] * len(jaxpr.constvars), at_end_of_layer)
    return seen


def _walk(jaxpr: Jaxpr, inputs: Sequence[Fields], constants: Sequence[Fields], visit: Callable) -> list[Fields]:
    known = dict(zip(jaxpr.constvars, constants, strict=True)) | dict(zip(jaxpr.invars, inputs, strict=True))

    def read(variable) -> Fields:
        return None if isinstance(variable, Literal) else known[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        inner = layers.called(equation)
        if all(fields is None for fields in operands) and not inner:
            results = [None] * len(equation.outvars)
        elif inner:
            results = _walk(inner, operands, [None] * len(inner.constvars), visit)
        else:
            result = through(equation, operands)
            results = [result] * len(equation.outvars)
            visit(equation, result)
        known.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]
