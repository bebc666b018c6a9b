import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon import models
from canon.errors import UserError


def test_has_the_literatures_number_of_parameters():
    model = models.create("mlp", hidden=(800, 800))
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]
    count = sum(np.prod(p.shape, dtype=int) for p in jax.tree.leaves(params))
    assert count == 784 * 800 + 800 + 800 * 800 + 800 + 800 * 10 + 10


def test_equals_numpy_in_float64(random):
    images = random.normal(size=(4, 3, 2, 1))
    with jax.enable_x64(True):
        model = models.create("mlp", hidden=(7, 5), num_classes=3, dtype="float64")
        params = model.init(jax.random.key(0), jnp.asarray(images))["params"]
        params = jax.tree.map(lambda a: jnp.asarray(random.normal(size=a.shape)), params)
        x = images.reshape(4, 6)
        for name in ("hidden1", "hidden2"):
            x = np.maximum(x @ params[name]["kernel"] + params[name]["bias"], 0)
        expected = x @ params["classifier"]["kernel"] + params["classifier"]["bias"]
        np.testing.assert_allclose(model.apply({"params": params}, jnp.asarray(images)), expected, rtol=1e-12)


def test_dropout_acts_in_training_alone_and_keeps_the_mean(random):
    model = models.create("mlp", hidden=(4000,), dropout_rate=0.5, num_classes=1)
    images = jnp.asarray(random.normal(size=(1, 4, 4, 1)), jnp.float32)
    variables = model.init(jax.random.key(0), images)
    plain = model.apply(variables, images)
    dropped = jax.vmap(lambda key: model.apply(variables, images, train=True, rngs={"dropout": key}))(
        jax.random.split(jax.random.key(1), 400)
    )
    assert dropped.std() > 0
    np.testing.assert_allclose(dropped.mean(), plain[0, 0], atol=4 * dropped.std() / 20)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": (0,)}, {"dropout_rate": 1.0}, {"dropout_rate": -0.1}, {"initial_scale": 0.0},
        {"initial_scale": -1.0}, {"input_dropout_rate": 1.0}, {"activation": "rleu"},
    ],
)  # fmt: skip
def test_a_value_outside_its_range_is_refused(wrong):
    with pytest.raises(UserError, match=str(next(iter(wrong)))):
        models.create("mlp", **wrong)


def test_the_activation_the_scale_and_the_dropout_of_pixels_are_what_they_say(random):
    images = jnp.asarray(random.normal(size=(64, 8, 8, 1)), jnp.float32)
    plain = models.create("mlp", hidden=(500,), activation="tanh")
    scaled = models.create("mlp", hidden=(500,), activation="tanh", initial_scale=4.0)
    one, four = (model.init(jax.random.key(0), images)["params"] for model in (plain, scaled))
    for layer in ("hidden1", "classifier"):
        np.testing.assert_allclose(four[layer]["kernel"], 4 * one[layer]["kernel"], rtol=1e-6)
    np.testing.assert_allclose(one["hidden1"]["kernel"].std(), 1 / 8, rtol=0.02)  # N(0, 1 / fan_in), not 2 / fan_in
    hidden = jnp.tanh(images.reshape(64, 64) @ one["hidden1"]["kernel"])
    expected = hidden @ one["classifier"]["kernel"]
    np.testing.assert_allclose(plain.apply({"params": one}, images), expected, rtol=1e-4, atol=1e-5)

    dropping = models.create("mlp", hidden=(), input_dropout_rate=0.2)
    variables = dropping.init(jax.random.key(0), images)
    ones = jnp.ones((2000, 8, 8, 1))
    identity = {"params": {"classifier": {"kernel": jnp.ones((64, 10)) / 64, "bias": jnp.zeros(10)}}}
    seen = dropping.apply(identity, ones, train=True, rngs={"dropout": jax.random.key(1)})[:, 0]
    np.testing.assert_allclose(seen.mean(), 1, atol=0.01)
    np.testing.assert_allclose(seen.std(), np.sqrt(0.2 / 0.8 / 64), rtol=0.1)
    assert dropping.apply(identity, ones).std() == 0
    assert variables["params"].keys() == {"classifier"}
