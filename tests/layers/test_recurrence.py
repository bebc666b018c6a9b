"""Every cell against a NumPy loop in float64, the layers against PyTorch, and what padding and direction mean."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp
from jax.test_util import check_grads

from canon.errors import UserError
from canon.layers import cells, recurrence
from canon.layers.cells import CELLS
from canon.layers.recurrence import Bidirectional, DeepRecurrence, Recurrence, last_outputs


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_loop(cell, p, x, carry, length):
    """One sequence `[time, inputs]` of `length` steps: outputs `[time, features]`, 0 past the end, and the carry."""
    h, c = (*carry, None)[:2]
    width, outputs = len(h), np.zeros((len(x), len(h)))
    for t in range(length):
        a, u = x[t] @ p["input_kernel"] + p["bias"], p["recurrent_kernel"]
        if cell == "rnn":
            h = np.tanh(a + h @ u)
        elif cell.startswith("lstm"):
            i, f, g, o = np.split(a + h @ u, 4)
            see = p["peephole"] if cell == "lstm_peephole" else np.zeros((3, width))
            c_new = sigmoid(f + see[1] * c) * c + sigmoid(i + see[0] * c) * np.tanh(g)
            h, c = sigmoid(o + see[2] * c_new) * np.tanh(c_new), c_new
        else:
            (xr, xz, xn), (ur, uz, un) = np.split(a, 3), np.split(u, 3, axis=1)
            r, z = sigmoid(xr + h @ ur), sigmoid(xz + h @ uz)
            reset = (r * h) @ un if cell == "gru_reset_before" else r * (h @ un + p["candidate_bias"][0])
            h = (1 - z) * np.tanh(xn + reset) + z * h
        outputs[t] = h
    return outputs, (h, c) if c is not None else (h,)


def scrambled(tree, random):
    """Parameters that are nowhere 0, so that none can be forgotten."""
    return jax.tree.map(lambda a: random.normal(scale=0.5, size=a.shape), tree)


def make(cell, random, batch=3, time=6, inputs=4, features=5, **kwargs):
    layer = Recurrence(features, cell=cell, **kwargs)
    x = random.normal(size=(batch, time, inputs))
    params = scrambled(layer.init(jax.random.key(0), x.astype(np.float32))["params"], random)
    carry = tuple(random.normal(size=(batch, features)) for _ in CELLS[cell].carry)
    return layer, params, x, carry


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_over_sequences_of_unequal_lengths_equals_a_loop_in_numpy(cell, reverse, random):
    layer, params, x, carry = make(cell, random, reverse=reverse, unroll=2)
    lengths = np.array([6, 1, 4])
    with jax.enable_x64(True):
        outputs, last = layer.apply({"params": params}, x, carry, lengths)
    for i, length in enumerate(lengths):
        its = x[i].copy()
        if reverse:
            its[:length] = its[:length][::-1]
        expected, end = numpy_loop(cell, params, its, [a[i] for a in carry], length)
        if reverse:
            expected[:length] = expected[:length][::-1]
        np.testing.assert_allclose(outputs[i], expected, rtol=1e-12, atol=1e-12)
        for ours, theirs in zip(last, end, strict=True):
            np.testing.assert_allclose(ours[i], theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_equal_finite_differences(cell, random):
    layer, params, x, carry = make(cell, random, batch=2, time=3, inputs=2, features=3, learn_initial_carry=True)
    lengths = np.array([3, 2])
    with jax.enable_x64(True):
        weights = random.normal(size=(2, 3, 3))

        @jax.jit
        def loss(params, x, carry):
            outputs, last = layer.apply({"params": params}, x, carry, lengths)
            return (outputs * weights).sum() + sum(jnp.sin(a).sum() for a in last)

        check_grads(loss, (params, x, carry), order=1, modes=["rev"], atol=1e-7, rtol=1e-7, eps=1e-5)
        initial = jax.grad(lambda params: layer.apply({"params": params}, x)[0].sum())(params)["initial_h"]
        assert np.abs(initial).min() > 0


def to_torch(torch, cell, p, suffix):
    """A layer's parameters as PyTorch names and shapes them: it has a second bias for what comes from the carry."""
    width = p["recurrent_kernel"].shape[0]
    recurrent_bias = np.zeros_like(p["bias"])
    if cell == "gru":
        recurrent_bias[2 * width :] = p["candidate_bias"][0]
    arrays = {"weight_ih": p["input_kernel"].T, "weight_hh": p["recurrent_kernel"].T}
    arrays |= {"bias_ih": p["bias"], "bias_hh": recurrent_bias}
    return {f"{name}_{suffix}": torch.tensor(np.asarray(a, np.float32)) for name, a in arrays.items()}


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_deep_bidirectional_stack_equals_pytorch_on_packed_sequences(cell, torch, random):
    batch, time, inputs, features = 4, 7, 3, 5
    x, lengths = random.normal(size=(batch, time, inputs)).astype(np.float32), np.array([7, 3, 5, 1])
    stack = DeepRecurrence(features, layers=2, cell=cell, bidirectional=True)
    params = scrambled(stack.init(jax.random.key(0), x)["params"], random)
    theirs = getattr(torch.nn, cell.upper())(inputs, features, 2, bidirectional=True, batch_first=True)
    weights = {}
    for i in range(2):
        weights |= to_torch(torch, cell, params[f"layer{i + 1}"]["forward"], f"l{i}")
        weights |= to_torch(torch, cell, params[f"layer{i + 1}"]["backward"], f"l{i}_reverse")
    theirs.load_state_dict(weights)
    pack = torch.nn.utils.rnn.pack_padded_sequence
    packed = pack(torch.tensor(x), torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    expected, last = theirs(packed)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(expected, batch_first=True)

    params = jax.tree.map(lambda a: a.astype(np.float32), params)
    outputs, carry = stack.apply({"params": params}, x, lengths=lengths)
    np.testing.assert_allclose(outputs, expected.detach(), rtol=1e-5, atol=1e-5)
    last = last if isinstance(last, tuple) else (last,)
    for j, theirs_last in enumerate(last):
        ours_last = np.stack([direction[j] for of_layer in carry for direction in of_layer])
        np.testing.assert_allclose(ours_last, theirs_last.detach(), rtol=1e-5, atol=1e-5)


@functools.partial(jax.jit, static_argnums=0)
def applied(stack, variables, x, lengths):
    def summed(variables):
        outputs, carry = stack.apply(variables, x, lengths=lengths)
        return outputs.sum(), (outputs, carry)

    gradient, (outputs, carry) = jax.grad(summed, has_aux=True)(variables)
    return outputs, carry, last_outputs(outputs, lengths), gradient


@functools.partial(jax.jit, static_argnums=0)
def alone(stack, variables, x):
    return stack.apply(variables, x[None])[0][0]


@given(data=st.data(), bidirectional=st.booleans(), skip=st.booleans())
@settings(max_examples=6)
def test_padding_changes_nothing_whatever_it_holds(data, bidirectional, skip):
    lengths = np.array(data.draw(st.lists(st.integers(1, 5), min_size=3, max_size=3)))
    stack = DeepRecurrence(3, layers=2, bidirectional=bidirectional, skip=skip)
    x = np.random.default_rng(0).normal(size=(len(lengths), 5, 2)).astype(np.float32)
    variables = jax.jit(stack.init)(jax.random.key(0), x)
    pads = np.float32(data.draw(st.sampled_from([np.nan, np.inf, -1e30, 7.0])))
    other = np.where((np.arange(5) < lengths[:, None])[..., None], x, pads)
    found = applied(stack, variables, x, lengths)
    jax.tree.map(np.testing.assert_array_equal, found, applied(stack, variables, other, lengths))
    for i, length in enumerate(lengths):  # and each sequence alone gives the same
        expected = alone(stack, variables, x[i, :length])
        np.testing.assert_allclose(found[0][i, :length], expected, rtol=1e-5, atol=1e-6)


def test_a_carry_that_is_handed_on_makes_two_halves_a_whole(random):
    stack = DeepRecurrence(4, layers=3, cell="gru", skip=True)
    x = random.normal(size=(2, 8, 3)).astype(np.float32)
    variables = stack.init(jax.random.key(0), x)
    whole, end = stack.apply(variables, x)
    first, carry = stack.apply(variables, x[:, :5])
    second, last = stack.apply(variables, x[:, 5:], carry)
    np.testing.assert_allclose(whole, np.concatenate([first, second], axis=1), rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), end, last)


def test_skip_connections_are_those_of_graves(random):
    """Figure 1 there: the input goes to every layer, and every layer to the output."""
    stack = DeepRecurrence(4, layers=3, skip=True)
    x = random.normal(size=(2, 5, 3)).astype(np.float32)
    outputs, variables = stack.init_with_output(jax.random.key(0), x)
    assert outputs[0].shape == (2, 5, 12)
    widths = [variables["params"][f"layer{i}"]["input_kernel"].shape[0] for i in (1, 2, 3)]
    assert widths == [3, 7, 7]


def test_dropout_is_between_layers_and_in_training_alone(random):
    x = random.normal(size=(2, 5, 3)).astype(np.float32)
    one, two = (DeepRecurrence(4, layers=n, dropout_rate=0.5) for n in (1, 2))
    keys = {"dropout": jax.random.key(1)}
    for stack, changes in ((one, False), (two, True)):
        variables = stack.init(jax.random.key(0), x)
        quiet, trained = stack.apply(variables, x)[0], stack.apply(variables, x, train=True, rngs=keys)[0]
        assert (np.abs(quiet - trained).max() > 1e-3) == changes


@pytest.mark.parametrize(("cell", "parameters"), [("rnn", 1), ("lstm", 4), ("lstm_peephole", 4), ("gru", 3)])
def test_parameter_counts(cell, parameters):
    inputs, features = 7, 11
    extra = {"lstm_peephole": 3 * features, "gru": features}.get(cell, 0)
    variables = Recurrence(features, cell=cell).init(jax.random.key(0), jnp.zeros((1, 2, inputs)))
    count = sum(a.size for a in jax.tree.leaves(variables))
    assert count == parameters * (inputs * features + features * features + features) + extra


def test_the_forget_gate_alone_begins_with_its_bias():
    bias = Recurrence(3, forget_bias=2.5).init(jax.random.key(0), jnp.zeros((1, 2, 2)))["params"]["bias"]
    np.testing.assert_array_equal(bias, [0] * 3 + [2.5] * 3 + [0] * 6)


def test_each_gate_begins_with_an_orthogonal_kernel():
    kernel = Recurrence(6).init(jax.random.key(0), jnp.zeros((1, 2, 2)))["params"]["recurrent_kernel"]
    for gate in np.split(np.asarray(kernel), 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(6), atol=1e-5)


def test_bfloat16_computes_in_it_and_keeps_its_parameters(random):
    layer = Recurrence(4, dtype=jnp.bfloat16)
    x = random.normal(size=(2, 5, 3)).astype(np.float32)
    variables = layer.init(jax.random.key(0), x)
    gradient = jax.grad(lambda v: layer.apply(v, x)[0].astype(jnp.float32).sum())(variables)
    assert {a.dtype for a in jax.tree.leaves((variables, gradient))} == {jnp.dtype("float32")}
    outputs, carry = layer.apply(variables, x)
    assert {outputs.dtype, carry[0].dtype, carry[1].dtype} == {jnp.dtype("bfloat16")}
    exact, _ = Recurrence(4).apply(variables, x)
    np.testing.assert_allclose(outputs.astype(np.float32), exact, atol=0.03)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Recurrence(0), "features and unroll of at least 1"),
        (lambda: Recurrence(2, cell="lstn"), "did you mean lstm"),
        (lambda: DeepRecurrence(2, layers=0), "at least one layer"),
        (lambda: DeepRecurrence(2, dropout_rate=1.0), "dropout_rate"),
        (lambda: cells.cell("lmu"), "there are: gru, gru_reset_before"),
        (lambda: Recurrence(2).init(jax.random.key(0), jnp.zeros((3, 4))), "takes \\[batch, time, inputs\\]"),
        (
            lambda: Recurrence(2).init(jax.random.key(0), jnp.zeros((3, 4, 1)), (jnp.zeros((3, 2)),)),
            "a carry of 2 arrays \\(3, 2\\)",
        ),
    ],
)
def test_what_does_not_fit_is_said(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_bidirectional_layers_are_named_by_their_direction():
    layer = Bidirectional(lambda **kwargs: Recurrence(2, **kwargs))
    assert set(layer.init(jax.random.key(0), jnp.zeros((1, 2, 3)))["params"]) == {"forward", "backward"}
    assert recurrence.last_outputs(jnp.ones((2, 3, 4))).shape == (2, 4)
