"""What a network costs, layer by layer: sizes, memory, parameters, multiply-adds; and what its units see."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from flax import linen as nn
from jax.extend.core import Jaxpr, Literal

from canon.analysis import layers, receptive_field
from canon.analysis.layers import Layer
from canon.analysis.receptive_field import ReceptiveField
from canon.multiply_adds import of_equation

# They write over their input, or do nothing in a prediction.
_IN_PLACE = ("Activation", "Dropout")

_OUTSIDE = -1  # of all layers: what the network itself computes between them


@dataclass(frozen=True)
class Row:
    """One layer, for one image.

    Attributes:
      layer: its name, kind, output and parameters.
      multiply_adds: a product and a sum count as one, as papers count them.
      field: what its units see; None where that is nothing of the image.
    """

    layer: Layer
    multiply_adds: int
    field: ReceptiveField | None

    @property
    def memory(self) -> int:
        """Bytes of its output."""
        return self.layer.size * self.layer.dtype.itemsize

    @property
    def parameters(self) -> int:
        """How many numbers it learns."""
        return sum(self.layer.parameters.values())


@dataclass(frozen=True)
class Summary:
    """A network on one image.

    Attributes:
      input_shape: (height, width, channels).
      rows: the layers in the order of computation, without those that work in place.
      depth: layers with weights along the longest way through the network.
      multiply_adds: of the rows, and of what is computed between the layers in them.
      parameters: how many numbers it learns in all.
      unused: how many of them are in parts that take no part in a prediction, such as auxiliary classifiers.
    """

    input_shape: tuple[int, ...]
    rows: list[Row]
    depth: int
    multiply_adds: int
    parameters: int
    unused: dict[str, int]

    @property
    def activations(self) -> int:
        """Numbers in the image and in all outputs."""
        return math.prod(self.input_shape) + sum(row.layer.size for row in self.rows)

    @property
    def memory(self) -> int:
        """Bytes of them; the image's are float32."""
        return 4 * math.prod(self.input_shape) + sum(row.memory for row in self.rows)


def summarize(model: nn.Module, input_shape: tuple[int, ...]) -> Summary:
    """The summary of a network that predicts on one image of `input_shape`. Nothing is computed or allocated.

    Raises:
      UserError: the network cannot take such an image; the message names the layer.
    """
    trace = layers.trace(model, input_shape)
    fields = receptive_field.of_trace(trace)
    costs = _multiply_adds(trace)
    rows = [
        Row(layer, costs.get(i, 0), fields.get(i))
        for i, layer in enumerate(trace.layers)
        if layer.is_used and layer.is_leaf and not layer.kind.startswith(_IN_PLACE)
    ]
    multiply_adds = sum(cost for i, cost in costs.items() if i == _OUTSIDE or trace.layers[i].is_used)
    return Summary(trace.input_shape, rows, _depth(trace), multiply_adds, trace.parameters, _unused(trace))


def _unused(trace: layers.Trace) -> dict[str, int]:
    used = {layer.name for layer in trace.layers if layer.is_used}
    unused = {layer.name: sum(layer.parameters.values()) for layer in trace.layers if layer.name not in used}
    parts: dict[str, int] = {}
    for name, parameters in sorted(unused.items()):
        part = name.split("/")[0]
        parts[part] = parts.get(part, 0) + parameters
    return {part: parameters for part, parameters in parts.items() if parameters}


def _equations(jaxpr: Jaxpr) -> Iterator:
    for equation in jaxpr.eqns:
        inner = layers.called(equation)
        if inner is None:
            yield equation
        else:
            yield from _equations(inner)


def _multiply_adds(trace: layers.Trace) -> dict[int, int]:
    """By the index of the innermost layer that is open when a product is computed."""
    costs: dict[int, int] = {}
    open_layers = [_OUTSIDE]
    for equation in _equations(trace.jaxpr.jaxpr):
        marked = layers.mark(equation)
        is_open = marked and marked[1] == open_layers[-1]  # a layer of two inputs is marked twice
        if marked and marked[0] == "begin" and not is_open:
            open_layers.append(marked[1])
        elif marked and marked[0] == "end" and is_open:
            open_layers.pop()
        else:
            costs[open_layers[-1]] = costs.get(open_layers[-1], 0) + of_equation(equation)
    return costs


def _depth(trace: layers.Trace) -> int:
    weighted = {i for i, layer in enumerate(trace.layers) if layer.is_weighted}

    def walk(jaxpr: Jaxpr, inputs: list[int]) -> list[int]:
        known = dict.fromkeys(jaxpr.constvars, 0) | dict(zip(jaxpr.invars, inputs, strict=True))
        for equation in jaxpr.eqns:
            depths = [0 if isinstance(variable, Literal) else known[variable] for variable in equation.invars]
            inner = layers.called(equation)
            results = walk(inner, depths) if inner else [max(depths, default=0)] * len(equation.outvars)
            marked = layers.mark(equation)
            if marked and marked[0] == "end" and marked[1] in weighted:
                results = [depth + 1 for depth in results]
            known.update(zip(equation.outvars, results, strict=True))
        return [0 if isinstance(variable, Literal) else known[variable] for variable in jaxpr.outvars]

    jaxpr = trace.jaxpr.jaxpr
    return walk(jaxpr, [0] * len(jaxpr.invars))[0]
