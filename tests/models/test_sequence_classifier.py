import jax
import numpy as np
import pytest

from canon import models


@pytest.mark.parametrize("bidirectional", [False, True])
def test_logits_come_from_each_directions_last_step_and_no_padding(bidirectional, random):
    model = models.create("sequence_classifier", num_classes=3, features=4, bidirectional=bidirectional)
    x = random.normal(size=(2, 6, 5)).astype(np.float32)
    lengths = np.array([6, 4])
    variables = model.init(jax.random.key(0), x)
    logits = model.apply(variables, x, lengths)
    alone = model.apply(variables, x[1:, :4])
    np.testing.assert_allclose(logits[1:], alone, rtol=1e-5, atol=1e-6)
    changed = x.copy()
    changed[1, 4:] = 9
    np.testing.assert_array_equal(logits, model.apply(variables, changed, lengths))
    for first in (0, 3):  # every step counts
        changed = x.copy()
        changed[1, first] += 1
        assert np.abs(model.apply(variables, changed, lengths)[1] - logits[1]).max() > 1e-4


def test_it_is_pytorchs_gru_and_a_linear_layer(random):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    model = models.create("sequence_classifier", num_classes=3, features=4, cell="gru")
    x = random.normal(size=(2, 6, 5)).astype(np.float32)
    params = model.init(jax.random.key(0), x)["params"]
    p = jax.tree.map(lambda a: random.normal(scale=0.4, size=a.shape).astype(np.float32), params)
    layer, theirs = p["recurrence"]["layer1"], torch.nn.GRU(5, 4, batch_first=True)
    bias = np.concatenate([np.zeros(8, np.float32), layer["candidate_bias"][0]])
    arrays = {
        "weight_ih_l0": layer["input_kernel"].T, "weight_hh_l0": layer["recurrent_kernel"].T,
        "bias_ih_l0": layer["bias"], "bias_hh_l0": bias,
    }  # fmt: skip
    theirs.load_state_dict({name: torch.tensor(np.ascontiguousarray(a)) for name, a in arrays.items()})
    last = theirs(torch.tensor(x))[1][0].detach().numpy()
    expected = last @ p["logits"]["kernel"] + p["logits"]["bias"]
    np.testing.assert_allclose(model.apply({"params": p}, x), expected, rtol=1e-5, atol=1e-5)
