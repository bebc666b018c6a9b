"""Every network trains: each of its parameters receives a gradient through the task that training uses."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon import models
from canon.training.task import Classification

# (height, width, channels): the smallest images that leave something to each layer.
IMAGES = {
    "mlp": (8, 8, 1),
    "lenet5": (32, 32, 1),
    "lenet5_modern": (28, 28, 1),
    "alexnet": (67, 67, 3),
    "alexnet_one_column": (63, 63, 3),
    "zfnet": (53, 53, 3),
    "googlenet": (79, 79, 3),
    **dict.fromkeys(["vgg11", "vgg13", "vgg16", "vgg19"], (32, 32, 3)),
}
OTHERS = (16, 16, 3)
DEEPEST = {"resnet34", "plain34", "resnet101", "resnet152", "se_resnet50", "vgg13", "vgg16", "vgg19"}
"""Each has the layers of another, and more of them; what se_resnet50 has besides has tests of its own."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in DEEPEST else name for name in models.names("image")]
)
def test_every_parameter_of_every_network_receives_a_finite_gradient_that_is_not_zero(name, random, draw):
    shape = IMAGES.get(name, OTHERS)
    batch = {"image": jnp.asarray(random.normal(size=(4, *shape)), jnp.float32), "label": jnp.arange(4)}
    task = Classification(models.create(name, num_classes=7))
    params, model_state = draw(lambda key: task.init(key, batch))

    def loss(params):
        value, (new_state, _) = task.loss(params, model_state, batch, jax.random.key(1), train=True)
        return value, new_state

    (value, new_state), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    assert np.isfinite(value)
    assert jax.tree.structure(new_state) == jax.tree.structure(model_state)
    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.tree.map(np.asarray, gradients)):
        assert np.isfinite(gradient).all(), path
        assert (gradient != 0).any(), path
