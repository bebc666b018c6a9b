"""Runs that spell the names of images: what is measured, and that an image counts once."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy.special import log_softmax
from tests.training.runs import build, state_of

from canon import models
from canon.data import captions, sources
from canon.data.words import BOS, EOS
from canon.errors import UserError
from canon.study import plan
from canon.training import loop


@pytest.fixture
def caption_config(tiny_config):
    with tiny_config.unlocked():
        tiny_config.task = "captioning"
        tiny_config.model = ConfigDict({"name": "image_to_sequence", "features": 8, "embedding": 6, "hidden": 10})
        tiny_config.train.update(batch_size=32, evaluation_batch_size=100)
    return plan.complete(tiny_config)


def test_what_is_measured_is_of_each_letter_and_of_each_name(caption_config, tmp_path):
    rate = {"name": "constant", "learning_rate": 0.05}
    changes = {"optimizer": {"name": "adam"}, "schedule": rate, "train": {"steps": 150, "evaluate_every": 150}}
    built = build(caption_config, data={"normalize": "none"}, **changes)
    metrics = loop.train(built, 0, tmp_path).metrics
    variables = {"params": state_of(built, tmp_path).params}
    written, test = captions.create("digits"), sources.read(sources.digits("test"))
    model = models.create("image_to_sequence", features=8, embedding=6, hidden=10, num_classes=len(written.characters))
    images, labels = np.float32(test.images / 255), test.labels
    tokens, targets = written.tokens[labels], written.targets[labels]
    inside = written.mask[labels] > 0
    logits = np.asarray(model.apply(variables, images, tokens), np.float64)
    nats = -np.take_along_axis(log_softmax(logits, axis=-1), targets[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(metrics["test/loss"], nats[inside].mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["test/error"], (logits.argmax(-1) != targets)[inside].mean(), rtol=1e-4)
    # Letter by letter, each given what the network wrote before.
    names, step = np.full((len(images), 1), BOS, np.int32), jax.jit(model.apply)
    for n in range(targets.shape[1]):
        padded = np.pad(names, ((0, 0), (0, targets.shape[1] - names.shape[1])))
        names = np.concatenate([names, np.asarray(step(variables, images, padded))[:, n].argmax(-1)[:, None]], axis=1)
    right = [
        answer[: targets_of.tolist().index(EOS) + 1].tolist()
        == targets_of[: targets_of.tolist().index(EOS) + 1].tolist()
        for answer, targets_of in zip(names[:, 1:].astype(np.int32), targets, strict=True)
    ]
    assert 0 < np.mean(right) < 1
    np.testing.assert_allclose(metrics["test/sequence_error"], 1 - np.mean(right), rtol=1e-6)


def test_how_an_evaluation_is_cut_changes_nothing(caption_config, tmp_path):
    one, other = (
        loop.train(build(caption_config, train={"evaluation_batch_size": size}), 0, tmp_path / str(size)).metrics
        for size in (100, 33)
    )
    for name in ("test/loss", "test/error", "test/sequence_error"):
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5)


def test_two_devices_learn_what_one_does(caption_config, tmp_path):
    odd = {"evaluation_batch_size": 33}  # which two do not divide
    one, two = (
        loop.train(build(caption_config, parallel={"devices": n}, train=odd), 0, tmp_path / str(n)).metrics
        for n in (1, 2)
    )
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "mlp"}}, "the model mlp is not one of captions"),
        ({"augment": {"mixup": 1.0}}, "augment.mixup=0"),
        ({"data": {"source": "omniglot"}}, "the classes of omniglot have no names here"),
        ({"data": {"chunk": 7}}, "data.chunk means nothing to images"),
        ({"loss": {"name": "squared_error"}}, "is softmax_cross_entropy without label_smoothing"),
        ({"train": {"watch": "activity"}}, "train.watch=activity is for networks from images to classes"),
    ],
    ids=str,
)
def test_what_does_not_go_with_captions_is_said(caption_config, changes, message):
    with pytest.raises(UserError, match=message):
        build(caption_config, **changes)
