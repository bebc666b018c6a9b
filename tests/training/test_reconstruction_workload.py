"""Runs of autoencoders: what is measured, and what a linear one can reach."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from sklearn.decomposition import PCA
from tests.training.runs import build

from canon.data import sources
from canon.errors import UserError
from canon.study import plan
from canon.training import loop, reconstruction_workload


@pytest.fixture
def reconstruction_config(tiny_config):
    with tiny_config.unlocked():
        tiny_config.task = "reconstruction"
        tiny_config.model = ConfigDict({"name": "autoencoder", "code": 5, "hidden": ()})
        tiny_config.loss = ConfigDict({"name": "squared_error"})
        tiny_config.data.normalize = "mean_image"
    return plan.complete(tiny_config)


def test_the_share_that_is_missed_is_the_same_by_hand(random):
    x, y = random.normal(size=(2, 4, 7)).astype(np.float32)
    expected = ((y - x) ** 2).sum(1) / (x**2).sum(1)
    near = reconstruction_workload.missed_share(0.5 * y + 0.5 * x, x)
    np.testing.assert_allclose(near, np.minimum(expected / 4, 1), rtol=1e-5)
    np.testing.assert_array_equal(reconstruction_workload.missed_share(-2 * x, x), 1)
    np.testing.assert_array_equal(reconstruction_workload.missed_share(x, x), 0)
    np.testing.assert_array_equal(reconstruction_workload.missed_share(0 * x, 0 * x), 0)
    np.testing.assert_array_equal(reconstruction_workload.missed_share(x, 0 * x), 1)
    np.testing.assert_array_equal(reconstruction_workload.missed_share(np.zeros_like(x), x), 1)
    np.testing.assert_array_equal(reconstruction_workload.missed_share(y * np.nan, x), 1)


@pytest.mark.slow
def test_a_linear_network_comes_to_what_as_many_principal_components_keep(reconstruction_config, tmp_path):
    changes = {
        "optimizer": {"name": "adam"},
        "schedule": {"name": "cosine", "learning_rate": 0.01},
        "train": {"steps": 1500, "evaluate_every": 1500, "log_every": 100, "batch_size": 64},
    }
    metrics = loop.train(build(reconstruction_config, **changes), 0, tmp_path).metrics
    train, test = (sources.read(sources.digits(split)) for split in ("train", "test"))
    x, y = (s.images.reshape(len(s.images), -1) / 255 for s in (train, test))
    pca = PCA(5, svd_solver="full").fit(x)
    for split, values in (("train", x), ("test", y)):
        kept = pca.inverse_transform(pca.transform(values))
        loss = ((kept - values) ** 2).mean()
        np.testing.assert_allclose(metrics[f"{split}/loss"], loss, rtol=0.03)
        missed = ((kept - values) ** 2).sum(1) / ((values - x.mean(0)) ** 2).sum(1)
        np.testing.assert_allclose(metrics[f"{split}/error"], missed.mean(), rtol=0.03)
    assert metrics["train/loss"] >= ((pca.inverse_transform(pca.transform(x)) - x) ** 2).mean() * 0.9999


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "mlp"}}, "the model mlp is not one of reconstructions"),
        ({"loss": {"name": "softmax_cross_entropy"}}, "the loss is squared_error, not softmax_cross_entropy"),
        ({"data": {"length": 3}}, "data.length means nothing to images"),
    ],
)
def test_what_does_not_go_with_a_reconstruction_is_said(reconstruction_config, changes, message):
    with pytest.raises(UserError, match=message):
        build(reconstruction_config, **changes)
