"""Recurrent layers: a cell over time, in either direction, in both, and in deep stacks.

A layer takes `[batch, time, features]`. What depends on the input alone is computed for all steps in one product of
matrices; the rest is a `lax.scan` over time. Where `lengths` are given the carry stands still from a sequence's end on,
and outputs there are 0: padding changes nothing, whatever it holds, in either direction.
"""

import functools

import jax
from flax import linen as nn
from jax import lax
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers import lstm_scan
from canon.layers.cells import Carry, Cell, Parameters, cell

StackCarry = tuple[Carry | tuple[Carry, Carry], ...]
"""Of each layer its carry, or those of its two directions, forward and backward."""


def run(
    kind: Cell,
    parameters: Parameters,
    x: jax.Array,
    carry: Carry,
    lengths: jax.Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[jax.Array, Carry]:
    """A cell over time, time first.

    Args:
      kind: the cell.
      parameters: its own, without those that the input's share has used up; the bias too for `lstm_scan.STEPS`.
      x: the input's share of the cell's sums, `[time, batch, gates · features]`.
      carry: before the first step, each array `[batch, features]`.
      lengths: `[batch]`, how many steps each sequence has; None for all.
      reverse: from the last step of each sequence to its first; outputs stay where their inputs are.
      unroll: steps of the scan that are compiled into one.

    Returns:
      outputs `[time, batch, features]`, and the carry after the last step of each sequence.
    """
    inside = None if lengths is None else (jnp.arange(len(x))[:, None] < lengths)[..., None]
    if kind.step in lstm_scan.STEPS:
        return lstm_scan.run(parameters, x, carry, inside, reverse, unroll)

    def step(carry: Carry, at: tuple[jax.Array, jax.Array | None]) -> tuple[Carry, jax.Array]:
        x, inside = at
        new = kind.step(parameters, carry, x)
        if inside is None:
            return new, new[0]
        kept = tuple(jnp.where(inside, n, old) for n, old in zip(new, carry, strict=True))
        return kept, jnp.where(inside, new[0], jnp.zeros((), new[0].dtype))

    carry, outputs = lax.scan(step, carry, (x, inside), reverse=reverse, unroll=unroll)
    return outputs, carry


class Recurrence(nn.Module):
    """One layer, in one direction: `[batch, time, inputs] -> [batch, time, features]`, and the last carry.

    Parameters: `input_kernel` `[inputs, gates · features]`, `recurrent_kernel` `[features, gates · features]`, `bias`
    `[gates · features]`, what else the cell has (see `canon.layers.cells`), and the initial carry where it is learned.

    Attributes:
      features: units of the layer.
      cell: one of `canon.layers.cells.CELLS`.
      reverse: read each sequence from its last step to its first; outputs stay where their inputs are.
      unroll: steps of the scan that are compiled into one.
      forget_bias: where the bias of an LSTM's forget gate begins (Jozefowicz et al. 2015, section 2.2, advise 1).
      learn_initial_carry: make the carry before the first step parameters, which begin at 0; else it is 0.
      input_init: initializer of `input_kernel`.
      recurrent_init: of `recurrent_kernel`, and that for each gate's `[features, features]` by itself.
      dtype: of the computation; None takes that of input and parameters.

    Raises:
      UserError: a number is out of range, the cell does not exist, or shapes do not fit.
    """

    features: int
    cell: str = "lstm"
    reverse: bool = False
    unroll: int = 1
    forget_bias: float = 1.0
    learn_initial_carry: bool = False
    input_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    recurrent_init: nn.initializers.Initializer = nn.initializers.orthogonal()
    dtype: jax.typing.DTypeLike | None = None

    def __post_init__(self):
        if min(self.features, self.unroll) < 1:
            raise UserError(
                f"a recurrent layer needs features and unroll of at least 1, not {self.features} and {self.unroll}"
            )
        cell(self.cell)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: jax.Array, carry: Carry | None = None, lengths: jax.Array | None = None
    ) -> tuple[jax.Array, Carry]:
        """Args: x: `[batch, time, inputs]`. carry: before the first step; None for the initial one, see above.
        lengths: `[batch]` steps of each sequence, at most time; None for all of them."""
        if x.ndim != 3 or (lengths is not None and lengths.shape != x.shape[:1]):
            shape = None if lengths is None else lengths.shape
            raise UserError(
                f"a recurrent layer takes [batch, time, inputs] and lengths [batch], not {x.shape} and {shape}"
            )
        kind = cell(self.cell)
        parameters = self._parameters(kind, x.shape[-1])
        initial = {n: self._initial(n) for n in kind.carry} if self.learn_initial_carry else {}
        x, parameters, initial, carry = _promote(self.dtype, x, parameters, initial, carry)
        if carry is None:
            carry = tuple(
                jnp.broadcast_to(initial.get(name, jnp.zeros((), x.dtype)), (len(x), self.features))
                for name in kind.carry
            )
        if [a.shape for a in carry] != [(len(x), self.features)] * len(kind.carry):
            raise UserError(
                f"a layer of {self.features} {self.cell} units takes a carry of {len(kind.carry)} arrays "
                f"{(len(x), self.features)}, not {', '.join(str(a.shape) for a in carry)}"
            )
        if (
            lengths is not None
        ):  # in the product, what pads would reach the gradients of the kernels: 0 times NaN is NaN
            x = jnp.where((jnp.arange(x.shape[1]) < lengths[:, None])[..., None], x, jnp.zeros((), x.dtype))
        # Time first, before the product: there are fewer inputs than sums to move.
        share = jnp.swapaxes(x, 0, 1) @ parameters.pop("input_kernel")
        if kind.step not in lstm_scan.STEPS:  # these add it at each step, to what is in the caches then
            share = share + parameters.pop("bias")
        outputs, carry = run(kind, parameters, share, carry, lengths, self.reverse, self.unroll)
        return jnp.swapaxes(outputs, 0, 1), carry

    def _parameters(self, kind: Cell, inputs: int) -> dict[str, jax.Array]:
        gates, features = len(kind.gates), self.features
        by_gate = _by_gate(self.recurrent_init, gates)
        return {
            "input_kernel": self.param("input_kernel", self.input_init, (inputs, gates * features), jnp.float32),
            "recurrent_kernel": self.param("recurrent_kernel", by_gate, (features, gates * features), jnp.float32),
            "bias": self.param("bias", self._bias, (gates * features,), jnp.float32),
            **{
                name: self.param(name, nn.initializers.zeros, (*rows, features), jnp.float32)
                for name, rows in kind.extra.items()
            },
        }

    def _bias(self, key: jax.Array, shape: tuple[int, ...], dtype: jax.typing.DTypeLike) -> jax.Array:
        bias = jnp.zeros(shape, dtype)
        gates = cell(self.cell).gates
        if "f" not in gates:
            return bias
        begin = gates.index("f") * self.features
        return bias.at[begin : begin + self.features].set(self.forget_bias)

    def _initial(self, name: str) -> jax.Array:
        return self.param(f"initial_{name}", nn.initializers.zeros, (self.features,), jnp.float32)


def _by_gate(init: nn.initializers.Initializer, gates: int) -> nn.initializers.Initializer:
    """What draws the kernel of each gate by itself, and lays them side by side."""

    def draw(key: jax.Array, shape: tuple[int, ...], dtype: jax.typing.DTypeLike) -> jax.Array:
        rows, columns = shape[0], shape[1] // gates
        return jnp.concatenate([init(k, (rows, columns), dtype) for k in jax.random.split(key, gates)], axis=1)

    return draw


def _promote(dtype: jax.typing.DTypeLike | None, *trees):
    """The trees with all their arrays in `dtype`, or in the one that they promote to together."""
    leaves, structure = jax.tree.flatten(trees)
    return jax.tree.unflatten(structure, nn.dtypes.promote_dtype(*leaves, dtype=dtype))


class Bidirectional(nn.Module):
    """Two layers, one in each direction: `[batch, time, inputs] -> [batch, time, 2 · features]`, forward half first.

    Schuster and Paliwal 1997; Graves and Schmidhuber 2005 for LSTMs. The carry is that of both, (forward, backward).

    Attributes:
      layer: makes a `Recurrence`, given `reverse` and a name: `Bidirectional(functools.partial(Recurrence, 64))`.
    """

    layer: functools.partial

    @nn.compact
    def __call__(
        self, x: jax.Array, carry: tuple[Carry, Carry] | None = None, lengths: jax.Array | None = None
    ) -> tuple[jax.Array, tuple[Carry, Carry]]:
        forward, backward = carry if carry is not None else (None, None)
        ahead, forward = self.layer(name="forward")(x, forward, lengths)
        back, backward = self.layer(reverse=True, name="backward")(x, backward, lengths)
        return jnp.concatenate([ahead, back], axis=-1), (forward, backward)


class DeepRecurrence(nn.Module):
    """Recurrent layers on each other: `[batch, time, inputs] -> [batch, time, width]`, and the carry of each.

    The width is that of a layer's output, features or twice as many; with skip connections that of all layers together.

    Attributes:
      features: units of each layer, in each direction.
      layers: how many.
      cell, unroll, forget_bias, learn_initial_carry, dtype: see `Recurrence`.
      bidirectional: each layer reads both ways.
      dropout_rate: share of the units between layers that training sets to zero: Zaremba et al. 2014, Fig. 2.
      skip: every layer sees the input as well, and the output is that of all layers: Graves 2013, Fig. 1.

    Raises:
      UserError: a number is out of range; see `Recurrence` for the rest.
    """

    features: int
    layers: int = 1
    cell: str = "lstm"
    bidirectional: bool = False
    dropout_rate: float = 0.0
    skip: bool = False
    unroll: int = 1
    forget_bias: float = 1.0
    learn_initial_carry: bool = False
    dtype: jax.typing.DTypeLike | None = None

    def __post_init__(self):
        if self.layers < 1:
            raise UserError(f"a recurrent network needs at least one layer, not layers={self.layers}")
        if not 0 <= self.dropout_rate < 1:
            raise UserError(f"dropout_rate must be at least 0 and below 1, not {self.dropout_rate}")
        self._layer(parent=None)  # its arguments are checked here
        super().__post_init__()

    @property
    def _layer(self) -> functools.partial:
        return functools.partial(
            Recurrence,
            self.features,
            cell=self.cell,
            unroll=self.unroll,
            forget_bias=self.forget_bias,
            learn_initial_carry=self.learn_initial_carry,
            dtype=self.dtype,
        )

    def initial_carry(self, batch_size: int) -> StackCarry:
        """Zeros, in the shape of a carry: each array `[batch_size, features]`."""
        zeros = jnp.zeros((batch_size, self.features), self.dtype or jnp.float32)
        of_layer = (zeros,) * len(cell(self.cell).carry)
        return ((of_layer, of_layer) if self.bidirectional else of_layer,) * self.layers

    @nn.compact
    def __call__(
        self, x: jax.Array, carry: StackCarry | None = None, lengths: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, StackCarry]:
        """Args: as of `Recurrence`; train: whether there is dropout, which draws from the stream `dropout`."""
        if carry is not None and len(carry) != self.layers:
            raise UserError(f"{self.layers} layers take a carry for each, not {len(carry)}")
        layer = self._layer
        below, outputs, carries = x, [], []
        for i in range(self.layers):
            if i:
                below = nn.Dropout(self.dropout_rate, deterministic=not train, name=f"dropout{i}")(below)
                below = jnp.concatenate([x.astype(below.dtype), below], axis=-1) if self.skip else below
            name = f"layer{i + 1}"
            here = Bidirectional(layer, name=name) if self.bidirectional else layer(name=name)
            below, last = here(below, carry[i] if carry is not None else None, lengths)
            outputs.append(below)
            carries.append(last)
        return jnp.concatenate(outputs, axis=-1) if self.skip else below, tuple(carries)


def last_outputs(outputs: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
    """The output at each sequence's last step: `[batch, time, features] -> [batch, features]`.

    Args:
      outputs: of a layer.
      lengths: `[batch]`, each at least 1; None for all steps.
    """
    if lengths is None:
        return outputs[:, -1]
    return jnp.take_along_axis(outputs, (lengths - 1)[:, None, None], axis=1)[:, 0]
