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


@pytest.mark.parametrize("wrong", [{"hidden": (0,)}, {"dropout_rate": 1.0}, {"dropout_rate": -0.1}])
def test_a_value_outside_its_range_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        models.create("mlp", **wrong)
