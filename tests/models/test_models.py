import inspect

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon import models
from canon.errors import UserError


def test_a_wrong_name_says_which_there_are():
    with pytest.raises(UserError, match=r"no model.*'cifar_restnet'.*did you mean cifar_resnet.*mlp"):
        models.create("cifar_restnet")


def test_a_wrong_argument_says_which_there_are():
    with pytest.raises(UserError, match=r"no argument 'dept'; did you mean depth.*shortcut"):
        models.create("cifar_resnet", dept=20)


@pytest.mark.parametrize("name", models.names())
def test_every_argument_has_a_default_so_that_a_config_can_hold_it(name):
    assert inspect.Parameter.empty not in models.arguments(name).values()


@pytest.mark.parametrize("name", models.names())
def test_every_parameter_of_every_model_receives_a_finite_gradient_that_is_not_zero(name, random):
    model = models.create(name, num_classes=7)
    images = jnp.asarray(random.normal(size=(8, 16, 16, 3)), jnp.float32)
    labels = jnp.arange(8) % 7
    variables = model.init(jax.random.key(0), images)
    state = {k: v for k, v in variables.items() if k != "params"}

    def loss(params):
        logits, _ = model.apply(
            {"params": params, **state}, images, train=True, mutable=list(state), rngs={"dropout": jax.random.key(1)}
        )
        assert logits.shape == (8, 7)
        return -jax.nn.log_softmax(logits)[jnp.arange(8), labels].mean()

    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(variables["params"])):
        assert np.isfinite(gradient).all(), path
        assert (gradient != 0).any(), path
