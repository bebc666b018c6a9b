"""Runs of peptides: what is measured, by hand and by others."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy.stats import rankdata
from tests.training.runs import assert_stopping_changes_no_bit, build, state_of

from canon import models
from canon.data import peptides
from canon.errors import UserError
from canon.study import plan
from canon.training import loop, peptide_workload


@pytest.fixture
def peptide_config(tiny_config):
    with tiny_config.unlocked():
        tiny_config.task = "peptide_binding"
        tiny_config.model = ConfigDict(
            {"name": "peptide_classifier", "features": 8, "embedding": 4, "dropout_rate": 0.2}
        )
        tiny_config.loss = ConfigDict({"name": "binary_cross_entropy"})
        tiny_config.data.update(source="motif", examples=300, validation_split="validation")
        tiny_config.train.update(batch_size=16, evaluation_batch_size=32)
    return plan.complete(tiny_config)


@pytest.mark.parametrize("name", ["peptide_classifier", "peptide_matrix"])
def test_what_is_measured_is_what_the_definitions_say(peptide_config, tmp_path, name):
    built = build(peptide_config, **({"model": {"name": name}} if name == "peptide_matrix" else {}))
    metrics = loop.train(built, 0, tmp_path).metrics
    params = state_of(built, tmp_path).params
    sizes = {"features": 8, "embedding": 4} if name == "peptide_classifier" else {}
    test = peptides.split_of(peptides.make(300), "test")
    model = models.create(name, num_classes=1, **sizes)
    logits = np.asarray(model.apply({"params": params}, test.residues, test.lengths)[:, 0], np.float64)
    p, t = 1 / (1 + np.exp(-logits)), test.affinities.astype(np.float64)
    np.testing.assert_allclose(metrics["test/loss"], -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(), rtol=1e-5)
    binds = t > peptides.BINDS_ABOVE
    np.testing.assert_allclose(metrics["test/error"], ((p > peptides.BINDS_ABOVE) != binds).mean(), rtol=1e-5)
    # The probability that one that binds is ranked above one that does not.
    above = (logits[binds][:, None] > logits[~binds]) + 0.5 * (logits[binds][:, None] == logits[~binds])
    np.testing.assert_allclose(metrics["test/auc"], above.mean(), rtol=1e-6)
    ranks = np.corrcoef(rankdata(logits), rankdata(t))[0, 1]
    np.testing.assert_allclose(metrics["test/spearman"], ranks, rtol=1e-6)
    assert "train/auc" not in metrics


def test_outputs_that_say_nothing_measure_the_worst():
    for outputs in (np.zeros(4), np.array([1.0, np.nan, 2.0, 3.0])):
        found = peptide_workload.agreement(outputs, np.array([0.1, 0.9, 0.2, 0.8]))
        assert found == {"auc": 0.5, "spearman": 0.0}


def test_a_matrix_is_the_sum_of_its_scores(random):
    model = models.create("peptide_matrix", positions=5)
    residues, lengths = random.integers(0, 20, (3, 4)).astype(np.int32), np.array([4, 2, 4], np.int32)
    params = model.init(jax.random.key(0), residues)["params"]
    params = jax.tree.map(lambda a: random.normal(size=a.shape).astype(np.float32), params)
    first, last = (params[name]["embedding"].reshape(5, 20) for name in ("from_first", "from_last"))
    expected = [
        params["bias"][0] + sum(first[j, r] + last[n - 1 - j, r] for j, r in enumerate(row[:n]))
        for n, row in zip(lengths, residues, strict=True)
    ]
    np.testing.assert_allclose(model.apply({"params": params}, residues, lengths)[:, 0], expected, rtol=1e-5)
    whole = model.apply({"params": params}, residues)
    np.testing.assert_allclose(whole[[0, 2], 0], np.array(expected)[[0, 2]], rtol=1e-5)


def test_a_run_that_was_stopped_ends_in_the_same_bits(peptide_config, tmp_path):
    built = build(peptide_config)
    assert_stopping_changes_no_bit(built, tmp_path, 5)


def test_it_learns_the_motif(peptide_config, tmp_path):
    changes = {
        "optimizer": {"name": "adam"},
        "schedule": {"name": "constant", "learning_rate": 0.01},
        "data": {"examples": 2000},
        "model": {"features": 32, "embedding": 16},
        "train": {"steps": 250, "evaluate_every": 250},
    }
    metrics = loop.train(build(peptide_config, **changes), 0, tmp_path).metrics
    assert metrics["test/auc"] > 0.85
    assert metrics["test/spearman"] > 0.7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "mlp"}}, "the model mlp is not one of peptides"),
        ({"loss": {"name": "softmax_cross_entropy"}}, "the loss is binary_cross_entropy, not softmax_cross_entropy"),
        ({"data": {"source": "motiv"}}, r"no peptides are called 'motiv'; did you mean motif\?"),
        (
            {"data": {"source": "affinities", "examples": 2000}},
            "name the table of measurements",
        ),
        ({"data": {"examples": 9}}, "data.examples of peptides that are made must be from 10 to 100,000, not 9"),
        ({"data": {"examples": 10}, "train": {"batch_size": 1}}, "bind below 500 nM: there is nothing to tell apart"),
        ({"data": {"examples": 10**12}}, "from 10 to 100,000, not 1,000,000,000,000"),
        ({"data": {"length": 3}}, "data.length means nothing to peptides of the source motif"),
        ({"data": {"text": "a.txt"}}, "data.text means nothing to peptides of the source motif"),
        ({"data": {"source": "affinities", "text": "a.txt", "examples": 9}}, "data.examples means nothing to peptides"),
        ({"train": {"beams": 2}}, "train.beams must be from 1 to 1 for the task peptide_binding, not 2"),
        ({"model": {"positions": 10}}, "peptides of 11 amino acids need --config.model.positions=11, not 10"),
    ],
    ids=str,
)
def test_what_does_not_go_with_peptides_is_said(peptide_config, changes, message):
    with pytest.raises(UserError, match=message):
        build(peptide_config, **changes)
