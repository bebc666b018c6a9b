"""Runs of pairs of sentences: the loss per real token, BLEU, and what changes neither."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy.special import log_softmax
from tests.training.runs import assert_stopping_changes_no_bit, build, state_of

from canon import models
from canon.data import pairs
from canon.data.words import BOS, EOS, WordVocabulary
from canon.errors import UserError
from canon.study import plan
from canon.training import loop, translation_workload


@pytest.fixture
def pair_config(tiny_config):
    with tiny_config.unlocked():
        tiny_config.task = "translation"
        tiny_config.model = ConfigDict({"name": "seq2seq", "features": 8, "embedding": 6, "dropout_rate": 0.2})
        tiny_config.data.update(source="phrases", length=8, examples=30, training_pairs=50, bucket=3)
        tiny_config.data.validation_split = "validation"
        tiny_config.train.update(batch_size=8, evaluation_batch_size=16)
    return plan.complete(tiny_config)


def test_the_loss_of_a_split_is_that_of_each_of_its_tokens(pair_config, tmp_path):
    built = build(pair_config, data={"examples": 12})
    metrics = loop.train(built, 0, tmp_path / "run").metrics
    variables = {"params": state_of(built, tmp_path / "run").params}
    source, target = (WordVocabulary(built.vocabularies[name]) for name in ("source", "target"))
    model = models.create("seq2seq", features=8, embedding=6, num_classes=len(target), num_source_classes=len(source))
    apply = jax.jit(model.apply)
    nats, wrong, answers, test = [], [], [], pairs.make("phrases", "test", 8, 12)
    for words, theirs in test:
        encoded, right = np.array([source.encode(words)], np.int32), target.encode(theirs)
        forced = np.array([[BOS, *right]], np.int32)
        logits = np.asarray(apply(variables, encoded, np.array([len(words)]), forced)[0], np.float64)
        nats += (-log_softmax(logits, axis=-1)[np.arange(len(right) + 1), [*right, EOS]]).tolist()
        wrong += (logits.argmax(axis=-1) != [*right, EOS]).tolist()
    np.testing.assert_allclose(metrics["test/loss"], np.mean(nats), rtol=1e-5)
    np.testing.assert_allclose(metrics["test/error"], np.mean(wrong), rtol=1e-5)
    np.testing.assert_allclose(metrics["test/perplexity"], np.exp(np.mean(nats)), rtol=1e-5)
    pipeline = built.pipelines["test"]
    answers = translation_workload.translate(model, variables, pipeline, 16, target, 9, beams=1)
    assert metrics["test/bleu"] == translation_workload.bleu(answers, test.targets)
    assert "train/bleu" not in metrics


@pytest.mark.parametrize("beams", [1, 3])
def test_an_answer_is_that_of_its_own_source(pair_config, beams):
    built = build(pair_config)
    source, target = (WordVocabulary(built.vocabularies[name]) for name in ("source", "target"))
    model = models.create("seq2seq", features=8, embedding=6, num_classes=len(target), num_source_classes=len(source))
    variables = {"params": built.init(1).params}
    pipeline = built.pipelines["test"]
    together = translation_workload.translate(model, variables, pipeline, 16, target, 9, beams)
    assert together == translation_workload.translate(model, variables, pipeline, 1, target, 9, beams)
    assert len({tuple(answer) for answer in together}) > 1


def test_bleu_is_sacrebleus_of_whole_sentences():
    targets = (("a", "b", "c", "d", "e"), ("f", "g", "h", "i"))
    assert translation_workload.bleu([list(t) for t in targets], targets) == pytest.approx(100)
    assert translation_workload.bleu([[], []], targets) == 0
    # By hand: precisions 8/8, 6/6, 4/4 and 2/2, and a brevity penalty of exp(1 − 9/8).
    assert translation_workload.bleu([list("abcd"), list("fghi")], targets) == pytest.approx(100 * np.exp(1 - 9 / 8))


@pytest.mark.parametrize("stop", [1, 5, 7])
def test_a_run_that_was_stopped_anywhere_ends_in_the_same_bits(pair_config, tmp_path, stop):
    built = build(pair_config)
    assert_stopping_changes_no_bit(built, tmp_path, stop)


@pytest.mark.slow
def test_four_devices_learn_what_one_does(pair_config, tmp_path):
    one, four = (
        loop.train(build(pair_config, parallel={"devices": n}, model={"dropout_rate": 0.0}), 0, tmp_path / str(n))
        for n in (1, 4)
    )
    for name, value in one.metrics.items():
        np.testing.assert_allclose(four.metrics[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_run_that_diverges_has_the_worst_of_every_measure(pair_config, tmp_path):
    rate = {"name": "constant", "learning_rate": 3e38}
    result = loop.train(build(pair_config, schedule=rate), 0, tmp_path)
    assert result.status == "diverged"
    assert (result.metrics["test/bleu"], result.metrics["validation/bleu"]) == (0, 0)
    assert result.metrics["test/perplexity"] == np.inf


def test_sentences_that_are_added_are_in_the_vocabularies_and_change_what_is_evaluated_in_nothing(pair_config):
    plain, more = build(pair_config), build(pair_config, data={"copied_targets": 0.5, "autoencoded_sources": 0.1})
    assert more.pipelines["train"].size == 50 + 25 + 5
    assert more.pipelines["test"].size == plain.pipelines["test"].size
    assert set(plain.vocabularies["target"]) < set(more.vocabularies["source"])
    rare = {"data": {"least_count": 3, "training_pairs": 8}, "train": {"batch_size": 4}}
    doubled = {**rare, "data": {**rare["data"], "copied_targets": 1.0}}
    assert build(pair_config, **doubled).vocabularies["target"] == build(pair_config, **rare).vocabularies["target"]
    assert plain.checksums["test"] == more.checksums["test"]


def test_how_pairs_are_put_into_buckets_changes_no_measure(pair_config, tmp_path):
    changes = {"train": {"steps": 1, "evaluate_every": 1}, "schedule": {"name": "constant", "learning_rate": 1e-12}}
    one, other = (
        loop.train(build(pair_config, **changes, data={"bucket": width}), 0, tmp_path / str(width)).metrics
        for width in (1, 50)
    )
    for name in ("test/loss", "test/error", "test/bleu"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)


def test_it_learns_to_copy(pair_config, tmp_path):
    changes = {
        "optimizer": {"name": "adam"},
        "schedule": {"name": "constant", "learning_rate": 0.02},
        "data": {"source": "copy", "length": 3, "training_pairs": 2000},
        "model": {"features": 32, "embedding": 16, "layers": 1, "dropout_rate": 0.0},
        "train": {"batch_size": 32, "steps": 250, "evaluate_every": 250},
    }
    metrics = loop.train(build(pair_config, **changes), 0, tmp_path).metrics
    assert metrics["test/error"] < 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "mlp"}}, "the model mlp is not one of translations"),
        ({"data": {"chunk": 7}}, "data.chunk means nothing to pairs of sentences"),
        (
            {"data": {"source": "parallel_files", "length": 50, "examples": 2000}},
            "name the folder with the files SPLIT.LANGUAGE",
        ),
        (
            {"data": {"source": "multi30k", "data_dir": "d"}},
            "no pairs are called 'multi30k'.*copy, phrases, parallel_f",
        ),
        ({"data": {"training_pairs": -1}}, "data.training_pairs must be at least 0"),
        ({"data": {"training_pairs": 20_000}}, "pairs that are made are from 1 to 10,000"),
        ({"data": {"bucket": 0}}, "data.bucket and train.batch_size must be at least 1, not 0"),
        ({"data": {"least_count": 0}}, "data.least_count must be at least 1, not 0"),
        ({"data": {"least_count": 10**6}}, "training sees no word data.least_count=1000000 times"),
        ({"data": {"data_dir": "d"}}, "data.data_dir means nothing to pairs of sentences that are made"),
        ({"data": {"source": "parallel_files", "data_dir": "d", "length": 50, "examples": 9}}, "data.examples means"),
        ({"loss": {"name": "squared_error"}}, "is softmax_cross_entropy without label_smoothing.*not squared_error"),
        ({"loss": {"label_smoothing": 0.1}}, "not softmax_cross_entropy with label_smoothing=0.1"),
        ({"train": {"beams": 0}}, "train.beams must be from 1 to 1000 for the task translation, not 0"),
        ({"train": {"beams": 10**9}}, "train.beams must be from 1 to 1000"),
        ({"train": {"batch_size": 51}}, "train.batch_size must be at most the 50 pairs that there are, not 51"),
    ],
    ids=str,
)
def test_what_does_not_go_with_pairs_is_said(pair_config, changes, message):
    with pytest.raises(UserError, match=message):
        build(pair_config, **changes)
