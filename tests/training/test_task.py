import jax
import numpy as np
import pytest
from flax import linen as nn
from jax import numpy as jnp
from scipy.special import log_softmax, softmax

from canon import models
from canon.training.task import AUXILIARY_LOGITS, Classification


@pytest.fixture
def setting(random):
    task = Classification(models.create("cifar_resnet", depth=8, num_classes=4))
    batch = {
        "image": jnp.asarray(random.normal(size=(6, 8, 8, 1)), jnp.float32),
        "label": jnp.array([0, 1, 2, 3, 0, 1]),
    }
    params, model_state = task.init(jax.random.key(0), batch)
    return task, params, model_state, batch


def test_the_loss_is_the_mean_cross_entropy_of_the_models_logits(setting):
    task, params, model_state, batch = setting
    loss, (_, metrics) = task.loss(params, model_state, batch, None, train=False)
    logits = np.asarray(task.model.apply({"params": params, **model_state}, batch["image"]), np.float64)
    expected = -log_softmax(logits, axis=-1)[np.arange(6), batch["label"]]
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["error"].total, (logits.argmax(-1) != batch["label"]).sum())


def test_a_mask_leaves_padding_out_of_loss_and_metrics(setting):
    task, params, model_state, batch = setting
    alone = {name: values[:4] for name, values in batch.items()}
    masked = batch | {"mask": jnp.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])}
    expected, (_, one) = task.loss(params, model_state, alone, None, train=False)
    loss, (_, other) = task.loss(params, model_state, masked, None, train=False)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert other["error"].count == one["error"].count == 4


def test_training_moves_the_statistics_by_a_tenth_and_evaluation_does_not(setting):
    task, params, model_state, batch = setting
    _, (after_evaluation, _) = task.loss(params, model_state, batch, None, train=False)
    _, (after_training, _) = task.loss(params, model_state, batch, jax.random.key(0), train=True)
    jax.tree.map(np.testing.assert_array_equal, model_state, after_evaluation)
    # The first norm sees the first convolution's output: 0.9 · old + 0.1 · the batch's.
    convolved = jax.lax.conv_general_dilated(
        batch["image"], params["conv"]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(
        after_training["batch_stats"]["norm"]["mean"], 0.1 * convolved.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6
    )


class WithAuxiliary(nn.Module):
    """A classifier with two auxiliary ones, and batch normalisation before all three."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x.reshape(x.shape[0], -1))
        if train or self.is_initializing():
            for i in (1, 2):
                logits = nn.Dense(4, name=f"auxiliary{i}")(x)
                if not self.is_initializing():
                    self.sow(AUXILIARY_LOGITS, f"logits{i}", logits, reduce_fn=lambda _, new: new, init_fn=lambda: None)
        return nn.Dense(4, name="classifier")(x)


@pytest.fixture
def auxiliary_setting(setting):
    _, _, _, batch = setting
    task = Classification(WithAuxiliary())
    return task, *task.init(jax.random.key(0), batch), batch


def cross_entropy(x, dense, labels, mask=None):
    logits = np.asarray(x, np.float64) @ np.asarray(dense["kernel"], np.float64) + np.asarray(dense["bias"], np.float64)
    losses = -log_softmax(logits, axis=-1)[np.arange(len(labels)), labels]
    return losses.mean() if mask is None else (losses * mask).sum() / mask.sum()


@pytest.mark.parametrize("mask", [None, np.array([1.0, 1, 0, 1, 0, 1], np.float32)], ids=["all", "masked"])
@pytest.mark.parametrize("weight", [None, 0.7])
def test_training_adds_three_tenths_of_each_auxiliary_loss(auxiliary_setting, mask, weight):
    """Szegedy et al. 2014, section 5."""
    task, params, model_state, batch = auxiliary_setting
    if weight is not None:
        task = Classification(task.model, auxiliary_weight=weight)
    if mask is not None:
        batch = batch | {"mask": jnp.asarray(mask)}
    loss, (_, metrics) = task.loss(params, model_state, batch, jax.random.key(0), train=True)
    x = np.asarray(batch["image"], np.float64).reshape(6, -1)
    x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    own, first, second = (
        cross_entropy(x, params[name], batch["label"], mask) for name in ("classifier", "auxiliary1", "auxiliary2")
    )
    np.testing.assert_allclose(loss, own + (weight or 0.3) * (first + second), rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"].compute(), own, rtol=1e-5)  # the network's own


def test_evaluation_has_no_auxiliary_loss(auxiliary_setting):
    task, params, model_state, batch = auxiliary_setting
    loss, (_, metrics) = task.loss(params, model_state, batch, None, train=False)
    x = np.asarray(batch["image"]).reshape(6, -1) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(loss, cross_entropy(x, params["classifier"], batch["label"]), rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"].compute(), loss)


@pytest.mark.parametrize("train", [False, True])
def test_auxiliary_logits_are_never_state(auxiliary_setting, train):
    task, params, model_state, batch = auxiliary_setting
    assert set(model_state) == {"batch_stats"}
    key = jax.random.key(0) if train else None
    for _ in range(2):
        _, (model_state, _) = task.loss(params, model_state, batch, key, train=train)
        assert set(model_state) == {"batch_stats"}


@pytest.fixture
def crops(setting, random):
    """Ten crops of each of six images."""
    images = jnp.asarray(random.normal(size=(6, 10, 8, 8, 1)), jnp.float32)
    return setting[-1] | {"image": images}


@pytest.mark.parametrize("mask", [None, np.array([1.0, 1, 1, 1, 0, 0], np.float32)], ids=["all", "masked"])
def test_an_evaluation_of_several_crops_predicts_the_mean_of_their_probabilities(setting, crops, mask):
    """Krizhevsky et al. 2012, section 4.1: "averaging the predictions made by the network's softmax layer"."""
    task, params, model_state, _ = setting
    batch = crops if mask is None else crops | {"mask": jnp.asarray(mask)}
    loss, (state, metrics) = task.loss(params, model_state, batch, None, train=False)

    logits = [task.model.apply({"params": params, **model_state}, crops["image"][:, i]) for i in range(10)]
    probabilities = np.mean(softmax(np.asarray(logits, np.float64), axis=-1), axis=0)
    counted = np.ones(6) if mask is None else mask
    labels = np.asarray(crops["label"])
    losses = -np.log(probabilities[np.arange(6), labels])
    wrong = probabilities.argmax(axis=-1) != labels
    np.testing.assert_allclose(loss, (losses * counted).sum() / counted.sum(), rtol=1e-5)
    np.testing.assert_allclose(metrics["error"].compute(), (wrong * counted).sum() / counted.sum(), rtol=1e-6)
    assert metrics["error"].count == counted.sum()
    jax.tree.map(np.testing.assert_array_equal, state, model_state)


def test_ten_times_the_same_crop_is_that_crop(setting):
    task, params, model_state, batch = setting
    repeated = batch | {"image": jnp.repeat(batch["image"][:, None], 10, axis=1)}
    expected, (_, one) = task.loss(params, model_state, batch, None, train=False)
    loss, (_, ten) = task.loss(params, model_state, repeated, None, train=False)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert ten["error"].total == one["error"].total


def test_a_class_that_no_crop_gives_a_chance_has_a_finite_loss():
    class Certain(nn.Module):
        """It is sure of class 0, beyond what float32 can tell from 1."""

        def __call__(self, x, train=False):
            return jnp.tile(jnp.array([500.0, -500.0]), (x.shape[0], 1))

    batch = {"image": jnp.zeros((1, 10, 2, 2, 1)), "label": jnp.array([1])}
    loss, _ = Classification(Certain()).loss({}, {}, batch, None, train=False)
    assert 80 < loss < 110  # the logarithm of the smallest normal number is −87
