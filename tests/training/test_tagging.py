"""Runs that tag: what a metric counts, and that stopping changes nothing."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from tests.training.runs import assert_stopping_changes_no_bit, build, state_of

from canon import models
from canon.errors import UserError
from canon.study import plan
from canon.training import loop


@pytest.fixture
def tag_config(tiny_config):
    with tiny_config.unlocked():
        tiny_config.task = "tagging"
        tiny_config.model = ConfigDict({"name": "tagger", "features": 8})
        tiny_config.data.update(source="between_markers", length=6, examples=50)
        tiny_config.train.update(batch_size=8, evaluation_batch_size=16)
    return plan.complete(tiny_config)


def test_the_error_is_the_share_of_symbols_that_are_tagged_wrongly(tag_config, tmp_path):
    built = build(tag_config)
    metrics = loop.train(built, 0, tmp_path).metrics
    params = state_of(built, tmp_path).params
    (whole,) = built.pipelines["test"].evaluation_batches(50)
    model = models.create("tagger", features=8, num_classes=4)
    tags = np.asarray(model.apply({"params": params}, whole["sequence"].astype(np.float32))).argmax(axis=-1)
    np.testing.assert_allclose(metrics["test/error"], (tags != whole["label"]).mean(), rtol=1e-5)
    other = loop.train(build(tag_config, train={"evaluation_batch_size": 50}), 0, tmp_path / "whole").metrics
    np.testing.assert_allclose(other["test/loss"], metrics["test/loss"], rtol=1e-5)


def test_a_run_that_was_stopped_ends_in_the_same_bits(tag_config, tmp_path):
    built = build(tag_config)
    assert_stopping_changes_no_bit(built, tmp_path, 5)


def test_it_learns_to_look_both_ways(tag_config, tmp_path):
    rate = {"name": "constant", "learning_rate": 0.02}
    changes = {"optimizer": {"name": "adam"}, "schedule": rate, "train": {"steps": 200, "evaluate_every": 200}}
    assert loop.train(build(tag_config, **changes), 0, tmp_path / "both").metrics["test/error"] < 0.05
    ahead = {**changes, "model": {"bidirectional": False}}
    assert loop.train(build(tag_config, **ahead), 0, tmp_path / "ahead").metrics["test/error"] > 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "sequence_classifier"}}, "the model sequence_classifier is not one of tags"),
        ({"data": {"source": "delayed_recall"}}, "no sequences are called 'delayed_recall'"),
    ],
)
def test_what_does_not_go_with_tags_is_said(tag_config, changes, message):
    with pytest.raises(UserError, match=message):
        build(tag_config, **changes)
