"""Decoding against the same search in plain Python, and against all answers that there are."""

import itertools

import jax
import numpy as np
import pytest
from flax import linen as nn
from jax import numpy as jnp

from canon import models
from canon.errors import UserError
from canon.generation import decoding

BOS, EOS = 1, 2


class Markov(nn.Module):
    """Of each example a table of logits: what follows a token depends on the token, and on how many came before it."""

    def encode(self, tables):
        return tables, jnp.zeros(len(tables), jnp.int32)

    def decode(self, tokens, memory):
        tables, n = memory
        return tables[jnp.arange(len(tables)), n, tokens[:, 0]][:, None], (tables, n + 1)


def log_probability(table, answer):
    """Of an answer, a tuple that may end with EOS, in float64."""
    total, last = 0.0, BOS
    for n, token in enumerate(answer):
        logits = table[n, last].astype(np.float64)
        total += logits[token] - np.log(np.exp(logits).sum())
        last = token
    return total


def penalty(length, alpha):
    return ((5 + length) / 6) ** alpha


def every_answer(classes, most):
    rest = [token for token in range(classes) if token != EOS]
    for length in range(most):
        for beginning in itertools.product(rest, repeat=length):
            yield (*beginning, EOS)


def padded(answer, most):
    return [*answer, *[EOS] * (most - len(answer))]


def tables(random, batch=4, most=4, classes=5, spread=1.5):
    return random.normal(scale=spread, size=(batch, most, classes, classes)).astype(np.float32)


def test_greedy_takes_the_likeliest_token_at_each_step(random):
    t = tables(random, batch=6)
    tokens, scores = decoding.greedy(Markov(), {}, (t,), BOS, EOS, 4)
    for i, table in enumerate(t):
        answer, last = [], BOS
        while len(answer) < 4 and last != EOS:
            last = int(table[len(answer), last].argmax())
            answer.append(last)
        assert tokens[i].tolist() == padded(answer, 4)
        np.testing.assert_allclose(scores[i], log_probability(table, answer), rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_a_beam_that_is_wide_enough_finds_the_best_of_all_answers(random, alpha):
    t = tables(random)
    # As wide as there are beginnings of two tokens.
    tokens, scores = decoding.beam_search(Markov(), {}, (t,), BOS, EOS, 4, beams=64, alpha=alpha)
    for i, table in enumerate(t):
        ranked = sorted(
            ((log_probability(table, a) / penalty(len(a), alpha), a) for a in every_answer(5, 4)), reverse=True
        )
        assert [row.tolist() for row in tokens[i, :5]] == [padded(answer, 4) for _, answer in ranked[:5]]
        np.testing.assert_allclose(scores[i, :5], [score for score, _ in ranked[:5]], rtol=1e-5)


def beam_search_in_python(table, beams, most, alpha):
    alive, done = [(0.0, ())], []
    for n in range(most):
        candidates = sorted(
            ((log_probability(table, (*a, token)), (*a, token)) for _, a in alive for token in range(table.shape[-1])),
            reverse=True,
        )[: 2 * beams]
        ended = [(score / penalty(n + 1, alpha), a) for score, a in candidates if a[-1] == EOS]
        done = sorted(done + ended, reverse=True)[:beams]
        alive = [c for c in candidates if c[1][-1] != EOS][:beams]
    return done


@pytest.mark.parametrize(("beams", "alpha"), [(1, 0.0), (2, 0.0), (3, 1.0)])
def test_a_narrow_beam_finds_what_the_same_search_in_python_does(random, beams, alpha):
    t = tables(random, batch=8, most=6, classes=7)
    tokens, scores = decoding.beam_search(Markov(), {}, (t,), BOS, EOS, 6, beams=beams, alpha=alpha)
    found = 0
    for i, table in enumerate(t):
        for k, (score, answer) in enumerate(beam_search_in_python(table, beams, 6, alpha)):
            assert tokens[i, k].tolist() == padded(answer, 6)
            np.testing.assert_allclose(scores[i, k], score, rtol=1e-5)
            found += 1
    assert found >= 8


def test_an_answer_without_an_end_is_cut_at_the_most_tokens(random):
    t = tables(random)
    t[..., EOS] = -50.0
    greedy, _ = decoding.greedy(Markov(), {}, (t,), BOS, EOS, 4)
    t[..., EOS] = -np.inf
    searched, scores = decoding.beam_search(Markov(), {}, (t,), BOS, EOS, 4, beams=2, alpha=1.0)
    assert (greedy != EOS).all()
    assert (searched[:, 0] != EOS).all()
    assert np.isfinite(scores).all()
    for i, table in enumerate(t):
        with np.errstate(divide="ignore"):
            expected = log_probability(table, searched[i, 0].tolist()) / penalty(4, 1.0)
        np.testing.assert_allclose(scores[i, 0], expected, rtol=1e-5)


def test_a_longer_answer_wins_by_the_penalty_alone():
    logits = np.full((1, 3, 4, 4), -1e9, np.float32)
    logits[0, 0, BOS, [EOS, 3]] = np.log([0.5, 0.5])
    logits[0, 1, 3, [EOS, 3]] = np.log([0.9, 0.1])
    logits[0, 2, 3, EOS] = 0.0
    short, _ = decoding.beam_search(Markov(), {}, (logits,), BOS, EOS, 3, beams=3, alpha=0.0)
    longer, _ = decoding.beam_search(Markov(), {}, (logits,), BOS, EOS, 3, beams=3, alpha=1.0)
    assert short[0, 0].tolist() == [EOS, EOS, EOS]
    assert longer[0, 0].tolist() == [3, EOS, EOS]


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("seq2seq", (np.arange(15, dtype=np.int32).reshape(3, 5) % 9, np.array([5, 2, 4]))),
        ("image_to_sequence", (np.linspace(-1, 1, 3 * 16, dtype=np.float32).reshape(3, 4, 4, 1),)),
    ],
)
def test_every_model_that_writes_can_be_decoded_and_its_companions_change_nothing(name, inputs):
    sizes = {"num_source_classes": 9} if name == "seq2seq" else {}
    model = models.create(name, num_classes=6, features=8, embedding=4, **sizes)
    variables = model.init(jax.random.key(3), *inputs, np.ones((3, 2), np.int32))
    greedy, score = decoding.greedy(model, variables, inputs, BOS, EOS, 7)
    answers, scores = decoding.beam_search(model, variables, inputs, BOS, EOS, 7, beams=4, alpha=0.0)
    assert (scores[:, 0] >= score - 1e-5).all()  # as long as the greedy answer stays within the beam, as here
    for i in range(3):
        alone = tuple(a[i : i + 1] for a in inputs)
        assert decoding.greedy(model, variables, alone, BOS, EOS, 7)[0][0].tolist() == greedy[i].tolist()
        tokens, _ = decoding.beam_search(model, variables, alone, BOS, EOS, 7, beams=4, alpha=0.0)
        assert tokens[0].tolist() == answers[i].tolist()
    # What greedy decoding says of its answer is what teacher forcing says of it.
    forced = np.concatenate([np.full((3, 1), BOS), np.asarray(greedy)[:, :-1]], axis=1).astype(np.int32)
    logits = np.asarray(model.apply(variables, *inputs, forced), np.float64)
    chosen = np.take_along_axis(logits, np.asarray(greedy)[..., None], -1)[..., 0] - np.log(np.exp(logits).sum(-1))
    counted = np.cumsum(np.asarray(greedy) == EOS, axis=1) - (np.asarray(greedy) == EOS) == 0
    np.testing.assert_allclose(score, (chosen * counted).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize(("most", "beams"), [(0, 1), (3, 0)])
def test_sizes_below_one_are_refused(most, beams, random):
    with pytest.raises(UserError, match=f"at least 1, not {most} and {beams}"):
        decoding.beam_search(Markov(), {}, (tables(random),), BOS, EOS, most, beams=beams)


def test_one_beam_is_greedy_with_the_penalty_that_beams_have(random):
    t = tables(random, batch=6)
    tokens, scores = decoding.decode(Markov(), {}, (t,), BOS, EOS, 4, beams=1, alpha=1.0)
    greedy, score = decoding.greedy(Markov(), {}, (t,), BOS, EOS, 4)
    np.testing.assert_array_equal(tokens[:, 0], greedy)
    lengths = [row.index(EOS) + 1 if EOS in row else 4 for row in greedy.tolist()]
    np.testing.assert_allclose(scores[:, 0], score / np.array([penalty(n, 1.0) for n in lengths]), rtol=1e-5)
