"""The layers of a network as it computes them: traced, so that nothing is allocated and no number computed.

The network is traced to a jaxpr, once, while every call of a layer marks what goes in and what comes out. Whoever walks
the jaxpr in its order then knows which layer each operation belongs to.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
from flax import linen as nn
from jax import numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from canon.errors import UserError
from canon.layers import quick
from canon.multiply_adds import jaxprs

_MARK = "canon-layer"


@dataclass
class Layer:
    """One call of one layer.

    Attributes:
      name: where it stands in the network, such as `stage1_block1/conv1`.
      kind: the name of its class.
      shape: of its output, or of the first of several, without the batch axis.
      dtype: of that output.
      parameters: how many numbers it learns, by the parameter's name; those of layers inside it are theirs.
      is_leaf: whether no other layer is inside it.
      is_used: whether the network's output depends on it; auxiliary classifiers are for training alone.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    dtype: Any = None
    parameters: dict[str, int] = field(default_factory=dict)
    is_leaf: bool = True
    is_used: bool = True

    @property
    def size(self) -> int:
        """Numbers in its output, of one image."""
        return math.prod(self.shape)

    @property
    def is_weighted(self) -> bool:
        """Whether it weighs its inputs with what it has learned: what papers count as a layer. Norms do not."""
        return not self.parameters.keys().isdisjoint({"kernel", "coefficient"})


@dataclass(frozen=True)
class Trace:
    """A network's computation.

    Attributes:
      layers: in the order in which they are called.
      jaxpr: its last input is the images, its first output the network's; `mark` reads the marks in it.
      input_shape: of one image.
      parameters: how many numbers the network learns, those of a layer that is called twice counted once.
    """

    layers: list[Layer]
    jaxpr: ClosedJaxpr
    input_shape: tuple[int, ...]
    parameters: int


def mark(equation: Any) -> tuple[str, int] | None:
    """(`begin` or `end`, index of the layer) where an equation of the jaxpr is a mark, else None."""
    if equation.primitive.name != "name":
        return None
    label, _, rest = equation.params["name"].partition(":")
    which, _, index = rest.partition(":")
    return (which, int(index)) if label == _MARK else None


def called(equation: Any) -> Jaxpr | None:
    """The jaxpr that an equation calls once with its own inputs, as `jit`, `remat` and custom gradients do, or None."""
    if equation.primitive.name in ("cond", "scan", "while"):
        return None
    for value in equation.params.values():
        inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
        # What combines two numbers, for a window's reduction say, is called with other shapes.
        if isinstance(inner, Jaxpr) and _shapes(inner.invars) == _shapes(equation.invars):
            return inner
    return None


def _shapes(variables: Sequence[Any]) -> list[tuple[int, ...]]:
    return [variable.aval.shape for variable in variables]


def trace(model: nn.Module, input_shape: tuple[int, ...]) -> Trace:
    """The computation of `model` on one image of `input_shape`, (height, width, channels), as it predicts.

    Raises:
      UserError: the network cannot take such an image; the message names the layer.
    """
    images = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    recorder = _Recorder()
    try:
        # One pass that makes the parameters as it goes: a pass that is given them checks each against its initializer,
        # which takes as long again.
        with quick.off(), nn.intercept_methods(recorder):
            jaxpr, (_, variables) = jax.make_jaxpr(model.init_with_output, return_shape=True)(key, images)
    except UserError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:  # of Flax and JAX, about shapes
        reason = str(error).splitlines()[0]
        raise UserError(f"the network cannot take images of shape {tuple(input_shape)}: {reason}") from error
    for layer in recorder.layers:
        path = layer.name.split("/")
        layer.parameters = {key: math.prod(leaf.shape) for key, leaf in _own(variables.get("params", {}), path).items()}
    _check_no_loops(jaxpr.jaxpr)
    live = _live_layers(jaxpr.jaxpr)
    for i, layer in enumerate(recorder.layers):
        layer.is_used = i in live
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables.get("params", {})))
    return Trace(recorder.layers, jaxpr, tuple(input_shape), parameters)


def _check_no_loops(jaxpr: Jaxpr) -> None:
    for equation in jaxpr.eqns:
        for inner in jaxprs(equation):
            _check_no_loops(inner)
            computes = any(e.primitive.name in ("conv_general_dilated", "dot_general") or mark(e) for e in inner.eqns)
            if computes and equation.primitive.name in ("cond", "scan", "while"):
                raise UserError(f"the network has layers inside a {equation.primitive.name}, which are not counted yet")


def _live_layers(jaxpr: Jaxpr) -> set[int]:
    """The layers that the network's output depends on, among those that are called at all."""
    needed = {jaxpr.outvars[0]}
    live = set()
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            needed.update(variable for variable in equation.invars if not isinstance(variable, Literal))
            live |= _marks_inside(equation)
    return live


def _marks_inside(equation: Any) -> set[int]:
    marked = mark(equation)
    inner = called(equation)
    inside = set().union(*map(_marks_inside, inner.eqns)) if inner else set()
    return inside | ({marked[1]} if marked else set())


class _Recorder:
    """An interceptor of Flax's calls that marks the layers."""

    def __init__(self):
        self.layers: list[Layer] = []
        self._open: list[int] = []

    def __call__(self, call, arguments, keywords, context):
        path = context.module.path
        name = "/".join(path)
        inside = self.layers[self._open[-1]] if self._open else None
        # A layer that extends one of Flax's calls its parent's method: that is the same layer.
        if context.method_name != "__call__" or not path or (inside and inside.name == name):
            return call(*arguments, **keywords)
        if inside:
            inside.is_leaf = False
        index = len(self.layers)
        layer = Layer(name, type(context.module).__name__)
        self.layers.append(layer)
        self._open.append(index)
        arguments, keywords = _marked((arguments, keywords), f"{_MARK}:begin:{index}")
        output = call(*arguments, **keywords)
        self._open.pop()
        first = jax.tree.leaves(output)[0]
        layer.shape, layer.dtype = first.shape[1:], first.dtype
        return _marked(output, f"{_MARK}:end:{index}")


def _own(tree: Mapping[str, Any], path: list[str]) -> dict[str, Any]:
    for name in path:
        tree = tree.get(name, {})
    return {key: leaf for key, leaf in tree.items() if not isinstance(leaf, Mapping)}


def _marked(tree, label):
    return jax.tree.map(lambda leaf: checkpoint_name(leaf, label) if isinstance(leaf, jax.Array) else leaf, tree)
