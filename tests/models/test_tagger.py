import jax
import numpy as np
import pytest

from canon import models


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_tag_depends_on_what_the_directions_have_read_and_on_no_padding(bidirectional, random):
    model = models.create("tagger", num_classes=3, features=4, bidirectional=bidirectional)
    x, lengths = random.normal(size=(2, 6, 5)).astype(np.float32), np.array([6, 4])
    variables = model.init(jax.random.key(0), x)
    logits = model.apply(variables, x, lengths)
    assert logits.shape == (2, 6, 3)
    np.testing.assert_allclose(logits[1:, :4], model.apply(variables, x[1:, :4]), rtol=1e-5, atol=1e-6)
    changed = x.copy()
    changed[1, 4:] = 9
    np.testing.assert_array_equal(logits[1, :4], model.apply(variables, changed, lengths)[1, :4])
    changed = x.copy()
    changed[:, 2] += 1
    moved = np.abs(model.apply(variables, changed, lengths) - logits).max(axis=(0, 2)) > 1e-5
    assert moved.tolist() == [bidirectional, bidirectional, True, True, True, True]


def test_it_is_pytorchs_lstm_in_both_directions_and_a_linear_layer(random):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    model = models.create("tagger", num_classes=3, features=4)
    x = random.normal(size=(2, 6, 5)).astype(np.float32)
    params = model.init(jax.random.key(0), x)["params"]
    p = jax.tree.map(lambda a: random.normal(scale=0.4, size=a.shape).astype(np.float32), params)
    theirs = torch.nn.LSTM(5, 4, batch_first=True, bidirectional=True)
    arrays = {}
    for direction, suffix in (("forward", ""), ("backward", "_reverse")):
        layer = p["recurrence"]["layer1"][direction]
        arrays |= {
            f"weight_ih_l0{suffix}": layer["input_kernel"].T, f"weight_hh_l0{suffix}": layer["recurrent_kernel"].T,
            f"bias_ih_l0{suffix}": layer["bias"], f"bias_hh_l0{suffix}": np.zeros_like(layer["bias"]),
        }  # fmt: skip
    theirs.load_state_dict({name: torch.tensor(np.ascontiguousarray(a)) for name, a in arrays.items()})
    expected = theirs(torch.tensor(x))[0].detach().numpy() @ p["logits"]["kernel"] + p["logits"]["bias"]
    np.testing.assert_allclose(model.apply({"params": p}, x), expected, rtol=1e-5, atol=1e-5)
