import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon import models
from canon.errors import UserError


def make(**kwargs):
    model = models.create("char_rnn", **{"num_classes": 7, "features": 6} | kwargs)
    tokens = np.random.default_rng(0).integers(0, 7, (2, 9)).astype(np.int32)
    return model, model.init(jax.random.key(0), tokens), tokens


def test_it_is_pytorchs_lstm_over_one_hot_characters(random):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    model, variables, tokens = make(layers=2)
    params = jax.tree.map(lambda a: random.normal(scale=0.4, size=a.shape).astype(np.float32), variables["params"])
    theirs = torch.nn.LSTM(7, 6, 2, batch_first=True)
    weights = {}
    for i in range(2):
        p = params["recurrence"][f"layer{i + 1}"]
        weights |= {
            f"weight_ih_l{i}": p["input_kernel"].T, f"weight_hh_l{i}": p["recurrent_kernel"].T,
            f"bias_ih_l{i}": p["bias"], f"bias_hh_l{i}": np.zeros_like(p["bias"]),
        }  # fmt: skip
    theirs.load_state_dict({name: torch.tensor(np.ascontiguousarray(a)) for name, a in weights.items()})
    outputs, _ = theirs(torch.nn.functional.one_hot(torch.tensor(tokens).long(), 7).float())
    expected = outputs.detach().numpy() @ params["logits"]["kernel"] + params["logits"]["bias"]
    logits, _ = model.apply({"params": params}, tokens)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "lstm_peephole", "gru", "gru_reset_before"])
@pytest.mark.parametrize("embedding", [0, 3])
def test_a_text_in_two_parts_is_read_as_in_one(cell, embedding):
    model, variables, tokens = make(cell=cell, embedding=embedding)
    whole, end = model.apply(variables, tokens)
    carry = model.initial_carry(2)
    parts = []
    for part in (tokens[:, :4], tokens[:, 4:]):
        logits, carry = model.apply(variables, part, carry)
        parts.append(logits)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), carry, end)


def test_the_logits_at_a_place_depend_on_no_later_character():
    model, variables, tokens = make(skip=True)
    other = tokens.copy()
    other[:, 5:] = (other[:, 5:] + 1) % 7
    np.testing.assert_array_equal(model.apply(variables, tokens)[0][:, :5], model.apply(variables, other)[0][:, :5])


def test_every_parameter_has_a_gradient():
    model, variables, tokens = make(embedding=4, cell="lstm_peephole")

    def loss(variables):
        return jnp.square(model.apply(variables, tokens)[0]).sum()

    for gradient in jax.tree.leaves(jax.grad(loss)(variables)):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "lsmt"}, "no cell is called 'lsmt'; did you mean lstm"),
        ({"layers": 0}, "at least one layer"),
        ({"features": 0}, "features and unroll of at least 1"),
        ({"embedding": -1}, "embedding must be at least 0"),
    ],
)
def test_a_wrong_argument_is_said_as_the_model_is_made(arguments, message):
    with pytest.raises(UserError, match=message):
        models.create("char_rnn", **arguments)
