import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import numpy as jnp

from canon.training.metrics import Mean, classification_error, means


@given(values=st.lists(st.integers(-50, 50), min_size=1, max_size=40), cut=st.integers(0, 40))
def test_merging_parts_equals_the_whole(values, cut):
    parts = [np.array(p, np.float32) for p in (values[:cut], values[cut:])]
    one, other = (Mean.of(p) for p in parts)
    np.testing.assert_allclose(one.merge(other).compute(), np.mean(values), rtol=1e-5, atol=1e-6)


def test_a_masked_value_does_not_count_even_where_it_is_nan():
    metric = Mean.of(jnp.array([1.0, jnp.nan, 3.0]), jnp.array([1.0, 0.0, 1.0]))
    assert (metric.total, metric.count) == (4, 2)


def test_means_weigh_examples_and_not_batches():
    batches = [{"loss": Mean.of(jnp.ones(8))}, {"loss": Mean.of(jnp.zeros(2))}]
    assert means(batches, "test/") == {"test/loss": 0.8}


def test_error_counts_wrong_predictions_and_all_that_are_not_numbers():
    logits = jnp.array([[2.0, 1.0], [2.0, 1.0], [jnp.nan, 1.0], [1.0, jnp.inf]])
    np.testing.assert_array_equal(classification_error(logits, jnp.array([0, 1, 0, 1])), [0, 1, 1, 1])


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_means_are_the_same_however_they_are_fetched(random, monkeypatch, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    totals, counts = random.uniform(1, 9, (2, 5)).astype(np.float32)
    metrics = [{"loss": Mean(jnp.asarray(t), jnp.asarray(c))} for t, c in zip(totals[:4], counts[:4], strict=True)]
    metrics.append({"loss": Mean(totals[4], counts[4])})  # of a window that a checkpoint held
    expected = totals.astype(np.float64).sum() / counts.astype(np.float64).sum()
    assert means(metrics, "batch/") == {"batch/loss": pytest.approx(expected, rel=1e-12)}
