from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.squeeze_excitation import SqueezeExcitation


@pytest.mark.parametrize("size", [(5,), (3, 4), (2, 3, 2)], ids=len)
@pytest.mark.parametrize("reduction", [1, 2, 6])
def test_equals_pytorch_in_values_and_gradients(size, reduction, torch, assert_equals_torch, random):
    functional, layer = torch.nn.functional, SqueezeExcitation(reduction)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, *size, 6)))["params"]
    params = jax.tree.map(lambda leaf: random.normal(size=leaf.shape), shapes)

    def theirs(x, params):
        def linear(z, p):
            return functional.linear(z, p["kernel"].T, p["bias"])

        z = functional.relu(linear(x.flatten(1, -2).mean(1), params["reduce"]))
        gate = torch.sigmoid(linear(z, params["expand"]))
        return x * gate.view(len(x), *(1 for _ in size), 6)

    def ours(x, params):
        return layer.apply({"params": params}, x)

    assert_equals_torch(ours, theirs, random.normal(size=(2, *size, 6)), params)


def test_the_layer_between_is_narrower_by_the_reduction():
    params = jax.eval_shape(SqueezeExcitation(4).init, jax.random.key(0), jnp.zeros((1, 2, 2, 8)))["params"]
    assert params["reduce"]["kernel"].shape == (8, 2)
    assert params["expand"]["kernel"].shape == (2, 8)


def test_zero_weights_halve_every_channel(random):
    x = jnp.asarray(random.normal(size=(2, 3, 3, 4)), jnp.float32)
    layer = SqueezeExcitation(2)
    variables = jax.tree.map(jnp.zeros_like, layer.init(jax.random.key(0), x))
    np.testing.assert_array_equal(layer.apply(variables, x), x / 2)


@pytest.mark.parametrize("reduction", [3, 16, 0, -2])
def test_a_reduction_that_does_not_divide_the_channels_is_refused_with_the_layers_place(reduction, shape_in_a_network):
    with pytest.raises(UserError, match=f"layer stage2/inner: reduction {reduction} does not divide 8 channels"):
        shape_in_a_network(partial(SqueezeExcitation, reduction), (1, 4, 4, 8))
