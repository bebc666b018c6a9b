"""Runs of generated sequences: what an evaluation counts, that stopping changes nothing, and that devices do not."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from tests.training.runs import assert_stopping_changes_no_bit, build

from canon.errors import UserError
from canon.study import plan
from canon.training import loop


@pytest.fixture
def sequence_config(tiny_config):
    with tiny_config.unlocked():
        tiny_config.task = "sequence_classification"
        tiny_config.model = ConfigDict({"name": "sequence_classifier", "features": 8, "dropout_rate": 0.2})
        tiny_config.data.update(source="delayed_recall", length=6, examples=50)
        tiny_config.train.update(batch_size=8, evaluation_batch_size=16)
    return plan.complete(tiny_config)


def test_an_evaluation_counts_every_example_once(sequence_config, tmp_path):
    results = [
        loop.train(build(sequence_config, train={"evaluation_batch_size": size}), 0, tmp_path / str(size)).metrics
        for size in (16, 50)
    ]
    for name in ("train/error", "test/error", "test/loss"):
        np.testing.assert_allclose(results[0][name], results[1][name], rtol=1e-5)
    wrong = 50 * results[0]["test/error"]
    np.testing.assert_allclose(wrong, round(wrong), atol=1e-4)


@pytest.mark.parametrize("stop", [1, 5, 7])
def test_a_run_that_was_stopped_anywhere_ends_in_the_same_bits(sequence_config, tmp_path, stop):
    built = build(sequence_config)
    assert_stopping_changes_no_bit(built, tmp_path, stop)


def test_four_devices_learn_what_one_does(sequence_config, tmp_path):
    one, four = (
        loop.train(build(sequence_config, parallel={"devices": n}, model={"dropout_rate": 0.0}), 0, tmp_path / str(n))
        for n in (1, 4)
    )
    for name, value in one.metrics.items():
        np.testing.assert_allclose(four.metrics[name], value, rtol=1e-4, err_msg=name)


def test_it_learns_to_recall(sequence_config, tmp_path):
    rate = {"name": "constant", "learning_rate": 0.02}
    changes = {"optimizer": {"name": "adam"}, "schedule": rate, "train": {"steps": 300, "evaluate_every": 300}}
    result = loop.train(build(sequence_config, **changes), 0, tmp_path)
    assert result.metrics["test/error"] < 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "mlp"}}, "the model mlp is not one of sequences"),
        ({"data": {"chunk": 7}}, "data.chunk means nothing to sequences"),
        ({"data": {"train_split": ""}}, "sequences have the splits train, validation, test, not ''"),
        ({"data": {"examples": 0}}, "data.examples must be at least 1"),
    ],
    ids=str,
)
def test_what_does_not_go_with_sequences_is_said(sequence_config, changes, message):
    with pytest.raises(UserError, match=message):
        build(sequence_config, **changes)
