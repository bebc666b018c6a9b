import jax
import numpy as np
import pytest
from jax import numpy as jnp
from scipy import stats

from canon import models
from canon.generation import sampling


@pytest.fixture(scope="module")
def trained():
    model = models.create("char_rnn", num_classes=5, features=6)
    tokens = np.array([[0, 3, 1]], np.int32)
    variables = model.init(jax.random.key(0), tokens)
    variables = jax.tree.map(lambda a: 3 * a, variables)  # away from even odds
    return model, variables, tokens


def write(trained, length, temperature=1.0, seed=0, pieces=(), batch=1):
    model, variables, tokens = trained
    logits, carry = sampling.read(model, variables, np.repeat(tokens, batch, axis=0))
    written, position = [], 0
    for piece in pieces or (length,):
        out, logits, carry = sampling.sample(
            model, variables, logits, carry, jax.random.key(seed), jnp.int32(position), jnp.float32(temperature), piece
        )
        written.append(out)
        position += piece
    return np.concatenate(written, axis=1)


def test_at_temperature_0_it_is_the_likeliest_token_of_a_plain_loop(trained):
    model, variables, tokens = trained
    text = tokens[0].tolist()
    for _ in range(8):
        logits, _ = model.apply(variables, np.array([text], np.int32))
        text.append(int(logits[0, -1].argmax()))
    np.testing.assert_array_equal(write(trained, 8, temperature=0.0)[0], text[3:])


def test_how_a_text_is_cut_into_calls_changes_nothing(trained):
    np.testing.assert_array_equal(write(trained, 12), write(trained, 12, pieces=(5, 3, 4)))


def test_the_same_seed_gives_the_same_text_and_another_one_another(trained):
    np.testing.assert_array_equal(write(trained, 20, seed=4), write(trained, 20, seed=4))
    assert (write(trained, 20, seed=4) != write(trained, 20, seed=5)).any()


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_first_tokens_are_drawn_from_the_softmax_at_its_temperature(trained, temperature):
    model, variables, tokens = trained
    logits = np.asarray(model.apply(variables, tokens)[0][0, -1], np.float64) / temperature
    expected = np.exp(logits - logits.max())
    draws = write(trained, 1, temperature=temperature, batch=4000)[:, 0]
    counts = np.bincount(draws, minlength=5)
    assert stats.chisquare(counts, 4000 * expected / expected.sum()).pvalue > 1e-3
