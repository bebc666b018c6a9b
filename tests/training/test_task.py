import jax
import numpy as np
import pytest
from jax import numpy as jnp
from scipy.special import log_softmax

from canon import models
from canon.training.task import Classification


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
