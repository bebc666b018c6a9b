"""A run of a text: its metrics over the whole split, its carry, and that stopping changes nothing."""

import math

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy.special import log_softmax
from tests.training.runs import build, state_of

from canon import models
from canon.data.text import Vocabulary
from canon.errors import UserError
from canon.study import plan
from canon.training import language_model, loop
from canon.training.checkpoint import Checkpoints
from canon.training.recorder import read_metrics

TEXT = "".join(f"{i} bottles of beer on the wall, {i} bottles of beer.\n" for i in range(99, 0, -1))


@pytest.fixture
def text_config(tiny_config, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    with tiny_config.unlocked():
        tiny_config.task = "language_model"
        tiny_config.model = ConfigDict({"name": "char_rnn", "features": 8, "dropout_rate": 0.2})
        tiny_config.data.update(text=str(path), chunk=10, validation_split="validation")
        tiny_config.train.update(batch_size=5, evaluation_batch_size=3)
    return plan.complete(tiny_config)


def test_the_loss_of_a_split_is_that_of_each_of_its_characters(text_config, tmp_path):
    built = build(text_config, train={"evaluation_batch_size": 1})
    result = loop.train(built, 0, tmp_path / "run")
    state = state_of(built, tmp_path / "run")
    test = TEXT[int(0.95 * len(TEXT)) :]
    tokens = Vocabulary(built.vocabularies["characters"]).encode(test)
    model = models.create("char_rnn", features=8, num_classes=len(built.vocabularies["characters"]))
    logits, _ = model.apply({"params": state.params}, tokens[None, :-1])
    nats = -log_softmax(np.asarray(logits[0], np.float64), axis=-1)[np.arange(len(test) - 1), tokens[1:]].mean()
    np.testing.assert_allclose(result.metrics["test/loss"], nats, rtol=1e-5)
    np.testing.assert_allclose(result.metrics["test/bits_per_character"], nats / math.log(2), rtol=1e-5)
    np.testing.assert_allclose(result.metrics["test/perplexity"], math.exp(nats), rtol=1e-5)
    wrong = (np.asarray(logits[0]).argmax(axis=-1) != tokens[1:]).mean()
    np.testing.assert_allclose(result.metrics["test/error"], wrong, rtol=1e-5)


@pytest.mark.parametrize("stop", [1, 5, 7])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_run_that_was_stopped_anywhere_ends_in_the_same_bits(text_config, tmp_path, cell, stop):
    built = build(text_config, model={"cell": cell})
    whole = loop.train(built, 0, tmp_path / "whole")
    left = iter(range(stop - 1, -1, -1))
    with pytest.raises(loop.Interrupted):
        loop.train(built, 0, tmp_path / "cut", should_stop=lambda: next(left) == 0)
    kept = state_of(built, tmp_path / "cut")
    assert np.abs(jax.tree.leaves(kept.carry)[0]).max() > 0  # it is in the checkpoint
    resumed = loop.train(built, 0, tmp_path / "cut")
    assert resumed.metrics == whole.metrics
    jax.tree.map(np.testing.assert_array_equal, state_of(built, tmp_path / "whole"), state_of(built, tmp_path / "cut"))
    assert [line["step"] for line in read_metrics(tmp_path / "cut")] == [4, 6, 8, 12]


def test_a_chunk_goes_on_from_the_carry_of_the_one_before(text_config):
    on, off = build(text_config), build(text_config, data={"hand_on_carry": False})
    batches = [on.pipelines["train"].batch(0, step) for step in range(2)]

    def second_loss(built, carry_of):
        state, _ = built.train_step(built.init(0), batches[0])
        _, metrics = built.train_step(state.replace(carry=carry_of(state.carry)), batches[1])
        return float(metrics["loss"].compute())

    def keep(carry):
        return carry

    def forget(carry):
        return jax.tree.map(jax.numpy.zeros_like, carry)

    assert second_loss(on, keep) != second_loss(on, forget)
    assert second_loss(off, keep) == second_loss(off, forget)


def test_an_epoch_begins_from_nothing(text_config):
    built = build(text_config)
    batch = built.pipelines["train"].batch(0, built.pipelines["train"].steps_per_epoch)
    assert batch["begins"].all()
    losses = []
    for value in (0.0, 5.0):
        state = built.init(0)
        filled = jax.tree.map(lambda a, value=value: jax.numpy.full_like(a, value), state.carry)
        losses.append(float(built.train_step(state.replace(carry=filled), batch)[1]["loss"].compute()))
    assert losses[0] == losses[1]


def test_an_evaluation_leaves_the_carry_of_training_alone(text_config, tmp_path):
    rare = loop.train(build(text_config, train={"evaluate_every": 12}), 0, tmp_path / "rare")
    often = loop.train(build(text_config, train={"evaluate_every": 1}), 0, tmp_path / "often")
    assert rare.metrics["test/loss"] == often.metrics["test/loss"]


def test_four_devices_learn_what_one_does(text_config, tmp_path):
    changes = {"model": {"dropout_rate": 0.0}, "train": {"batch_size": 4, "evaluation_batch_size": 4}}
    one, four = (
        loop.train(build(text_config, parallel={"devices": n}, **changes), 0, tmp_path / str(n)) for n in (1, 4)
    )
    for name, value in one.metrics.items():
        np.testing.assert_allclose(four.metrics[name], value, rtol=1e-4, err_msg=name)


def test_the_parameters_of_a_run_on_several_devices_are_read_on_one(text_config, tmp_path):
    changes = {"train": {"batch_size": 4, "evaluation_batch_size": 4}, "parallel": {"devices": 4}}
    built = build(text_config, **changes)
    loop.train(built, 0, tmp_path)
    with Checkpoints(tmp_path / loop.CHECKPOINT_FOLDER) as checkpoints:
        params = checkpoints.restore_params()
    jax.tree.map(np.testing.assert_array_equal, params, jax.device_get(state_of(built, tmp_path).params))
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(params)} == {1}


def test_a_text_to_evaluate_may_be_shorter_than_a_chunk(text_config, tmp_path):
    built = build(text_config, data={"chunk": 300}, train={"batch_size": 2})
    assert built.pipelines["test"].size < 300
    assert loop.train(built, 0, tmp_path).metrics["test/bits_per_character"] > 0


def test_derived_metrics_are_finite_or_infinite_and_never_raise():
    derived = language_model.derive({"test/loss": 1e9, "train/loss": math.inf, "batch/loss": 0.0, "batch/error": 1.0})
    assert derived["test/perplexity"] == derived["train/perplexity"] == math.inf
    assert (derived["batch/perplexity"], derived["batch/bits_per_character"]) == (1.0, 0.0)
    assert len(derived) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"chunk": 5000}}, "the train text has .* characters; 5 rows of 5000 need 25,001"),
        ({"data": {"train_split": ""}}, "a text has the splits train, validation, test, not ''"),
        ({"loss": {"name": "squared_error"}}, "the loss of texts is softmax_cross_entropy without label_smoothing"),
        ({"loss": {"label_smoothing": 0.1}}, "without label_smoothing, .* with label_smoothing=0.1"),
        ({"model": {"name": "mlp"}}, "the model mlp is not one of texts \\(there are: char_rnn\\)"),
        ({"augment": {"flip": True}}, "augment.flip means nothing to texts"),
        ({"data": {"image_size": 32}}, "data.image_size means nothing to texts"),
        ({"data": {"validation_examples": 10}}, "data.validation_examples means nothing to texts"),
        ({"train": {"watch": "activity"}}, "train.watch=activity is for networks of images"),
        ({"task": "language_modle"}, "no task is called 'language_modle'; did you mean language_model"),
        ({"task": "classification"}, "the model char_rnn is not one of images"),
    ],
    ids=str,
)
def test_what_does_not_go_with_a_text_is_said(text_config, changes, message):
    with pytest.raises(UserError, match=message):
        build(text_config, **changes)
