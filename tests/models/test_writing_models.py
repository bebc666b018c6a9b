"""Networks that write sequences: what they learn of the input, against loops in NumPy and PyTorch's layers."""

import jax
import numpy as np
import pytest

from canon import models
from canon.errors import UserError


def random_params(model, random, *inputs):
    params = model.init(jax.random.key(0), *inputs)["params"]
    return jax.tree.map(lambda a: random.normal(scale=0.4, size=a.shape).astype(np.float32), params)


def count(tree):
    return sum(a.size for a in jax.tree.leaves(tree))


def test_seq2seq_has_the_parameters_of_its_parts():
    model = models.create("seq2seq", num_classes=11, num_source_classes=9, features=8, layers=2, embedding=4)
    params = model.init(jax.random.key(0), np.zeros((1, 3), np.int32), np.ones(1, np.int32), np.ones((1, 2), np.int32))
    stack = 4 * 8 * (4 + 8 + 1) + 4 * 8 * (8 + 8 + 1)
    assert count(params) == 9 * 4 + 11 * 4 + 2 * stack + (8 + 1) * 11


def test_a_source_counts_up_to_its_length_and_no_further(random):
    model = models.create("seq2seq", num_classes=7, num_source_classes=9, features=6, embedding=5)
    source, lengths = random.integers(0, 9, (2, 6)).astype(np.int32), np.array([6, 4])
    tokens = random.integers(0, 7, (2, 3)).astype(np.int32)
    p = {"params": random_params(model, random, source, lengths, tokens)}
    logits = model.apply(p, source, lengths, tokens)
    np.testing.assert_allclose(
        logits[1:], model.apply(p, source[1:, :4], lengths[1:], tokens[1:]), rtol=1e-5, atol=1e-6
    )
    changed = source.copy()
    changed[1, 4:] = 0
    np.testing.assert_array_equal(logits, model.apply(p, changed, lengths, tokens))
    for place in (0, 3):
        changed = source.copy()
        changed[1, place] = (changed[1, place] + 1) % 9
        assert np.abs(model.apply(p, changed, lengths, tokens)[1] - logits[1]).max() > 1e-4


def test_seq2seq_is_two_of_pytorchs_lstms_with_the_carry_between_them(random):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    model = models.create("seq2seq", num_classes=7, num_source_classes=9, features=6, layers=2, embedding=5)
    source, lengths = random.integers(0, 9, (2, 6)).astype(np.int32), np.array([6, 3])
    tokens = random.integers(0, 7, (2, 4)).astype(np.int32)
    p = random_params(model, random, source, lengths, tokens)

    def lstm(stack):
        theirs = torch.nn.LSTM(5, 6, num_layers=2, batch_first=True)
        arrays = {}
        for i in (0, 1):
            layer = stack[f"layer{i + 1}"]
            arrays |= {
                f"weight_ih_l{i}": layer["input_kernel"].T, f"weight_hh_l{i}": layer["recurrent_kernel"].T,
                f"bias_ih_l{i}": layer["bias"], f"bias_hh_l{i}": np.zeros_like(layer["bias"]),
            }  # fmt: skip
        theirs.load_state_dict({name: torch.tensor(np.ascontiguousarray(a)) for name, a in arrays.items()})
        return theirs

    embedded = torch.tensor(p["source_embedding"]["embedding"][source])
    packed = torch.nn.utils.rnn.pack_padded_sequence(embedded, torch.tensor(lengths), batch_first=True)
    _, carry = lstm(p["encoder"])(packed)
    outputs, _ = lstm(p["decoder"])(torch.tensor(p["target_embedding"]["embedding"][tokens]), carry)
    expected = outputs.detach().numpy() @ p["logits"]["kernel"] + p["logits"]["bias"]
    np.testing.assert_allclose(model.apply({"params": p}, source, lengths, tokens), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seen", ["first", "every", "never"])
def test_a_sequence_depends_on_the_image_as_often_as_it_is_seen(seen, random):
    model = models.create("image_to_sequence", num_classes=7, features=6, embedding=5, hidden=8, seen=seen)
    images, tokens = random.normal(size=(2, 4, 4, 1)).astype(np.float32), random.integers(0, 7, (2, 3)).astype(np.int32)
    p = {"params": random_params(model, random, images, tokens)}
    logits, changed = model.apply(p, images, tokens), model.apply(p, images + 1, tokens)
    assert bool(np.abs(changed - logits).max() > 1e-4) == (seen != "never")
    # What is seen with every token is no part of what is carried.
    (beside, carry), (beside_changed, _) = (model.apply(p, i, method="encode") for i in (images, images + 1))
    one, other = (model.apply(p, tokens, (b, carry), method="decode")[0] for b in (beside, beside_changed))
    assert bool(np.abs(other - one).max() > 1e-4) == (seen == "every")


def test_an_image_is_seen_as_if_it_were_the_first_token(random):
    model = models.create("image_to_sequence", num_classes=7, features=6, embedding=5, hidden=8, cell="rnn")
    images, tokens = random.normal(size=(2, 2, 2, 1)).astype(np.float32), random.integers(0, 7, (2, 3)).astype(np.int32)
    p = random_params(model, random, images, tokens)

    def dense(x, layer):
        return x @ layer["kernel"] + layer["bias"]

    hidden = np.maximum(dense(images.reshape(2, -1), p["image_hidden"]), 0)
    layer, h, expected = p["decoder"]["layer1"], np.zeros((2, 6)), []
    inputs = [dense(hidden, p["image_embedding"]), *p["token_embedding"]["embedding"][tokens.T]]
    for x in inputs:
        h = np.tanh(x @ layer["input_kernel"] + layer["bias"] + h @ layer["recurrent_kernel"])
        expected.append(dense(h, p["logits"]))
    np.testing.assert_allclose(
        model.apply({"params": p}, images, tokens), np.stack(expected[1:], axis=1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("seq2seq", {"embedding": 0}, "embedding must be at least 1, not 0"),
        ("seq2seq", {"num_source_classes": 0}, "num_classes must be at least 1, not 0"),
        ("image_to_sequence", {"seen": "once"}, "seen must be one of first, every, never, not 'once'"),
        ("image_to_sequence", {"hidden": 0}, "embedding and hidden must be at least 1, not 64 and 0"),
        ("peptide_classifier", {"positions": 0}, "positions and embedding must be at least 1, not 0 and 32"),
        ("autoencoder", {"code": 0}, "at least one unit, not code=0"),
        ("autoencoder", {"hidden": (3, 0)}, r"at least one unit, not code=30 and hidden=\(3, 0\)"),
        ("autoencoder", {"activation": "rleu"}, r"did you mean relu\?"),
    ],
)
def test_a_value_out_of_range_is_refused(name, wrong, says):
    with pytest.raises(UserError, match=says):
        models.create(name, **wrong)
