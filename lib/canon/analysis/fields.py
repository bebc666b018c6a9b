"""How one operation after another moves and widens what an array's units see of the image."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

Equation = Any
"""Of a jaxpr."""


@dataclass(frozen=True)
class Field:
    """What a unit sees along one axis of the image: unit p from low + p · stride to high + p · stride, both included.

    The ends may lie outside the image, in its padding.

    Attributes:
      low: where the field of the first unit begins.
      high: where it ends.
      stride: between the fields of neighbours.
      axis: of the array, along which the units lie; None where each unit sees the same.
      sees_all: whether a gate shows each unit all of the image besides, as squeeze and excitation does.
    """

    low: Fraction
    high: Fraction
    stride: Fraction
    axis: int | None
    sees_all: bool = False

    @property
    def size(self) -> int:
        """Pixels from end to end, of the unit that sees most where their fields differ by fractions of a pixel."""
        starts = [unit * self.stride for unit in range(self.stride.denominator)]
        return max(math.floor(self.high + start) - math.ceil(self.low + start) for start in starts) + 1


Fields = tuple[Field, ...] | None
"""For each spatial axis of the image; None for what does not depend on the image."""


def through(equation: Equation, operands: list[Fields]) -> Fields:
    """What the result of an operation sees, from what its operands see; at least one of them sees something."""
    return _rule(equation)(equation, operands)


# What moves or mixes positions in ways that have no rule here: each result is taken to see all that any operand sees.
_MIXING = {
    "cond", "cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum", "dynamic_slice", "dynamic_update_slice", "fft",
    "gather", "rev", "scan", "scatter", "scatter-add", "scatter-max", "scatter-min", "scatter-mul", "sort",
    "triangular_solve", "while",
}  # fmt: skip


def _rule(equation: Equation) -> Callable[[Equation, list[Fields]], Fields]:
    name = equation.primitive.name
    if name in _RULES:
        return _RULES[name]
    if name.startswith("reduce_window"):
        return _reduce_window
    if name.startswith(("reduce_", "arg")) and "axes" in equation.params:
        return _reduce
    rank = equation.outvars[0].aval.ndim
    by_position = all(variable.aval.ndim in (rank, 0) for variable in equation.invars)
    return _elementwise if by_position and name not in _MIXING else _everything


def _collapse(field: Field, shape: Sequence[int]) -> Field:
    """The field of a unit that sees all positions of an array."""
    if field.axis is None:
        return field
    return replace(field, high=field.high + (shape[field.axis] - 1) * field.stride, axis=None)


def _meet(a: Field, b: Field, shape: Sequence[int]) -> Field:
    """The field of a unit that sees what the same unit of two arrays of one shape sees."""
    if (a.axis is None) != (b.axis is None):
        return replace(a if b.axis is None else b, sees_all=True)
    if (a.axis, a.stride) != (b.axis, b.stride):  # apart from unit to unit by no fixed distance
        a, b = _collapse(a, shape), _collapse(b, shape)
    return replace(a, low=min(a.low, b.low), high=max(a.high, b.high), sees_all=a.sees_all or b.sees_all)


def _elementwise(equation: Equation, operands: list[Fields]) -> Fields:
    """Of operands whose axes have the result's sizes, or 1, which all positions see."""
    result = equation.outvars[0].aval.shape
    moved = []
    for fields, variable in zip(operands, equation.invars, strict=True):
        shape = variable.aval.shape
        moved.append(_moved(fields, shape, {axis: axis for axis in range(len(shape)) if shape[axis] == result[axis]}))
    return _union(equation, moved)


def _union(equation: Equation, operands: list[Fields]) -> Fields:
    """Of fields along the same axes, position by position."""
    shape = equation.outvars[0].aval.shape
    fields = None
    for operand in operands:
        if operand is not None:
            fields = tuple(_meet(a, b, shape) for a, b in zip(fields or operand, operand, strict=True))
    return fields


def _everything(equation: Equation, operands: list[Fields]) -> Fields:
    shapes = [variable.aval.shape for variable in equation.invars]
    collapsed = [
        fields and tuple(_collapse(f, shape) for f in fields) for fields, shape in zip(operands, shapes, strict=True)
    ]
    return _union(equation, collapsed)


def _slide(field: Field, axis: int | None, window: int, stride: int, before: int, inner: int, dilation: int) -> Field:
    """Of windows over `field`, which has `before` zeros ahead of it and `inner` − 1 between neighbours."""
    step = field.stride / inner
    low = field.low - step * before
    high = field.high + step * (dilation * (window - 1) - before)
    return replace(field, low=low, high=high, stride=step * stride, axis=axis)


def _convolution(equation: Equation, operands: list[Fields]) -> Fields:
    fields, kernel = operands
    p = equation.params
    if fields is None or kernel is not None:
        return _everything(equation, operands)
    numbers = p["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    window = equation.invars[1].aval.shape

    def one(field: Field) -> Field:
        if field.axis not in numbers.lhs_spec[2:]:
            return _collapse(field, shape)
        i = numbers.lhs_spec.index(field.axis) - 2
        return _slide(
            field, numbers.out_spec[i + 2], window[numbers.rhs_spec[i + 2]], p["window_strides"][i],
            p["padding"][i][0], p["lhs_dilation"][i], p["rhs_dilation"][i],
        )  # fmt: skip

    return tuple(map(one, fields))


def _reduce_window(equation: Equation, operands: list[Fields]) -> Fields:
    p = equation.params

    def one(field: Field) -> Field:
        i = field.axis
        if i is None:
            return field
        return _slide(
            field, i, p["window_dimensions"][i], p["window_strides"][i],
            p["padding"][i][0], p["base_dilation"][i], p["window_dilation"][i],
        )  # fmt: skip

    return tuple(map(one, operands[0]))


def _moved(fields: Fields, shape: Sequence[int], to: dict[int, int]) -> Fields:
    """Fields whose axes move; those along an axis that goes nowhere are collapsed."""
    return fields and tuple(replace(f, axis=to[f.axis]) if f.axis in to else _collapse(f, shape) for f in fields)


def _reduce(equation: Equation, operands: list[Fields]) -> Fields:
    return _without(equation, operands, equation.params["axes"])


def _squeeze(equation: Equation, operands: list[Fields]) -> Fields:
    return _without(equation, operands, equation.params["dimensions"])


def _without(equation: Equation, operands: list[Fields], axes: Sequence[int]) -> Fields:
    shape = equation.invars[0].aval.shape
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    return _moved(operands[0], shape, {axis: i for i, axis in enumerate(kept)})


def _transpose(equation: Equation, operands: list[Fields]) -> Fields:
    to = {axis: i for i, axis in enumerate(equation.params["permutation"])}
    return _moved(operands[0], equation.invars[0].aval.shape, to)


def _broadcast(equation: Equation, operands: list[Fields]) -> Fields:
    shape, result = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    to = {a: b for a, b in enumerate(equation.params["broadcast_dimensions"]) if shape[a] == result[b]}
    return _moved(operands[0], shape, to)


def _reshape(equation: Equation, operands: list[Fields]) -> Fields:
    shape, result = equation.invars[0].aval.shape, equation.outvars[0].aval.shape

    def place(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
        before = math.prod(shape[:axis])
        ones = sum(math.prod(shape[:i]) == before for i in range(axis)) if shape[axis] == 1 else 0
        return shape[axis], before, ones

    # An axis stays where it has the same size, and as many numbers before it; axes of 1 stay in their order.
    at = {place(result, axis): axis for axis in range(len(result))}
    places = {axis: at.get(place(shape, axis)) for axis in range(len(shape))}
    return _moved(operands[0], shape, {axis: i for axis, i in places.items() if i is not None})


def _dot(equation: Equation, operands: list[Fields]) -> Fields:
    (contracted, batch) = equation.params["dimension_numbers"]
    results = []
    offset = len(batch[0])
    for fields, variable, axes, batch_axes in zip(operands, equation.invars, contracted, batch, strict=True):
        shape = variable.aval.shape
        free = [axis for axis in range(len(shape)) if axis not in axes and axis not in batch_axes]
        to = {axis: i for i, axis in enumerate(batch_axes)} | {axis: offset + i for i, axis in enumerate(free)}
        results.append(_moved(fields, shape, to))
        offset += len(free)
    return _union(equation, results)


def _slice(equation: Equation, operands: list[Fields]) -> Fields:
    start, step = equation.params["start_indices"], equation.params["strides"]

    def one(field: Field) -> Field:
        if field.axis is None:
            return field
        skipped = start[field.axis] * field.stride
        stride = field.stride * (step[field.axis] if step else 1)
        return replace(field, low=field.low + skipped, high=field.high + skipped, stride=stride)

    return tuple(map(one, operands[0]))


def _pad(equation: Equation, operands: list[Fields]) -> Fields:
    if operands[0] is None:
        return _everything(equation, operands)

    def one(field: Field) -> Field:
        if field.axis is None:
            return field
        before, _, interior = equation.params["padding_config"][field.axis]
        return _slide(field, field.axis, 1, 1, before, interior + 1, 1)

    return tuple(map(one, operands[0]))


def _concatenate(equation: Equation, operands: list[Fields]) -> Fields:
    axis = equation.params["dimension"]
    along = any(f.axis == axis for fields in operands if fields for f in fields)
    return (_everything if along else _union)(equation, operands)


_RULES = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "dot_general": _dot,
    "pad": _pad,
    "reshape": _reshape,
    "slice": _slice,
    "squeeze": _squeeze,
    "transpose": _transpose,
}
