import jax
import numpy as np
import pytest

from canon.analysis import gradient_flow
from canon.errors import UserError
from canon.layers.cells import CELLS, cell
from canon.layers.recurrence import Recurrence


def layer(name, random, time=6, inputs=3, features=4):
    x = random.normal(size=(time, inputs))
    params = Recurrence(features, cell=name).init(jax.random.key(0), x[None].astype(np.float32))["params"]
    return jax.tree.map(lambda a: random.normal(scale=0.6, size=a.shape), params), x


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("part", ["carry", "h"])
def test_norms_are_those_of_the_jacobian_of_the_whole_way(name, part, random):
    """The oracle: one Jacobian of the layer itself over the last d steps, by jax.jacrev."""
    params, x = layer(name, random)
    kind, features = cell(name), 4
    with jax.enable_x64(True):
        norms = gradient_flow.of_layer(name, params, x, part)

        def steps(carry, x):
            return Recurrence(features, cell=name).apply({"params": params}, x[None], carry)[1]

        for distance in (1, 3, 6):
            zero = tuple(np.zeros((1, features)) for _ in kind.carry)
            before = steps(zero, x[: len(x) - distance]) if distance < len(x) else zero
            jacobian = jax.jacrev(steps)(before, x[len(x) - distance :])
            blocks = [[np.asarray(jacobian[i][j])[0, :, 0] for j in range(len(before))] for i in range(len(before))]
            whole = np.block(blocks) if part == "carry" else blocks[0][0]
            np.testing.assert_allclose(norms[distance], np.linalg.norm(whole, 2), rtol=1e-8)
    assert norms[0] == 1


def test_a_plain_network_with_a_small_matrix_forgets_and_an_orthogonal_linear_one_does_not(random):
    """Pascanu et al. 2013, section 2.1: the norm is at most the largest singular value to the power of the distance."""
    params, x = layer("rnn", random, time=30)
    params["recurrent_kernel"] *= 0.5 / np.linalg.norm(params["recurrent_kernel"], 2)
    with jax.enable_x64(True):
        norms = gradient_flow.of_layer("rnn", params, x)
        assert (norms <= 0.5 ** np.arange(31) + 1e-12).all()
        params["recurrent_kernel"] = np.linalg.qr(random.normal(size=(4, 4)))[0]
        quiet = gradient_flow.of_layer("rnn", params | {"bias": np.zeros(4)}, 0 * x)
    np.testing.assert_allclose(quiet, 1, rtol=1e-9)


def test_an_lstm_whose_forget_gate_is_open_keeps_what_it_has(random):
    params, x = layer("lstm", random, time=30)
    params = jax.tree.map(np.zeros_like, params)
    params["bias"][4:8] = 30.0
    with jax.enable_x64(True):
        np.testing.assert_allclose(gradient_flow.of_layer("lstm", params, x, "c"), 1, rtol=1e-9)


def test_singular_values_are_of_each_gate(random):
    params, _ = layer("gru", random)
    found = gradient_flow.singular_values("gru", params)
    assert list(found) == ["r", "z", "n"]
    for i, values in enumerate(found.values()):
        gate = params["recurrent_kernel"][:, 4 * i : 4 * i + 4]
        np.testing.assert_allclose(values**2, np.linalg.eigvalsh(gate.T @ gate)[::-1], rtol=1e-9, atol=1e-12)


def test_a_gradient_that_explodes_is_infinite_in_the_end_and_no_error(random):
    # Quiet inputs: tanh is as good as linear, and each step multiplies by 10.
    params = {"input_kernel": np.zeros((2, 4)), "bias": np.zeros(4), "recurrent_kernel": 10 * np.eye(4)}
    params = jax.tree.map(np.float32, params)
    norms = gradient_flow.of_layer("rnn", params, np.zeros((400, 2), np.float32))
    np.testing.assert_allclose(norms[:300], 10.0 ** np.arange(300), rtol=1e-5)
    assert np.isinf(norms[310:]).all()


def test_an_unknown_part_is_said(random):
    params, x = jax.tree.map(np.float32, layer("rnn", random))
    with pytest.raises(UserError, match="part must be carry or one of h, not 'c'"):
        gradient_flow.of_layer("rnn", params, x, "c")
