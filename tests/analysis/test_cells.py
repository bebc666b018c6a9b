import jax
import numpy as np
import pytest

from canon import models
from canon.analysis import cells

SOURCE = 'def f(a, b):  # "sum"\n    return [a, (b)]\n\nx = "it\'s (in) here" + \'no\'\n'


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_memories_are_those_of_the_network_over_the_text(cell):
    model = models.create("char_rnn", num_classes=4, features=3, layers=2, cell=cell)
    tokens = np.array([0, 3, 2, 1, 0], np.int32)
    variables = model.init(jax.random.key(0), tokens[None])
    layers = cells.memories(model, variables, tokens)
    assert [layer.shape for layer in layers] == [(5, 3), (5, 3)]
    for t in range(1, 6):
        _, carry = model.apply(variables, tokens[None, :t])
        for ours, theirs in zip(layers, carry, strict=True):
            memory = np.tanh(theirs[1]) if cell == "lstm" else theirs[0]
            np.testing.assert_allclose(ours[t - 1], memory[0], rtol=1e-4, atol=1e-6)


def marked(name):
    values = cells.features(SOURCE)[name]
    return "".join(character for character, value in zip(SOURCE, values, strict=True) if value)


def test_features_are_what_a_reader_sees():
    assert marked("inside quotes") == "\"it's (in) here'no"
    assert marked("inside brackets") == "(a, b[a, (b)"
    assert marked("inside a comment") == '# "sum"'
    assert marked("the indentation itself") == "    "
    features = cells.features(SOURCE)
    assert features["depth of brackets"].max() == 2
    assert features["place in the line"][SOURCE.index("\n") - 1] == 21
    assert "a digit" not in features  # it never changes here


def test_a_unit_that_follows_a_feature_comes_first_whatever_its_sign(random):
    lines = SOURCE * 20
    place = cells.features(lines)["place in the line"]
    noise = random.normal(size=(len(lines), 3))
    layers = [noise[:, :2], np.stack([noise[:, 2], -np.tanh(place / 20), np.zeros(len(lines))], axis=1)]
    first = cells.most_interpretable(layers, lines, number=2)[0]
    assert (first.layer, first.index, first.feature) == (1, 1, "place in the line")
    assert first.correlation < -0.9
    np.testing.assert_allclose(first.correlation, np.corrcoef(layers[1][:, 1], place)[0, 1], rtol=1e-9)


def test_one_feature_does_not_crowd_out_the_others(random):
    lines = SOURCE * 20
    features = cells.features(lines)
    layer = np.stack([features["inside quotes"] + 0.01 * random.normal(size=len(lines)) for _ in range(9)], axis=1)
    units = cells.most_interpretable([np.concatenate([layer, layer[:, :1] * 0], axis=1)], lines, number=9, each=3)
    assert sum(unit.feature == "inside quotes" for unit in units) == 3
