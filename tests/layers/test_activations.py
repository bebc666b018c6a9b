import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.activations import ACTIVATIONS, Activation, activation, scaled_tanh


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_an_activation_is_what_its_name_says(name, torch, assert_equals_torch, random):
    assert_equals_torch(activation(name), getattr(torch, name), 3 * random.normal(size=(4, 5)))


def test_scaled_tanh_maps_one_to_one_as_lecuns_does():
    # A = 1.7159 has five digits.
    np.testing.assert_allclose(scaled_tanh(jnp.array([1.0, -1.0])), [1, -1], atol=5e-5)


def test_scaled_tanh_is_odd_and_saturates_at_a(random):
    x = jnp.asarray(3 * random.normal(size=100), jnp.float32)
    np.testing.assert_array_equal(scaled_tanh(-x), -scaled_tanh(x))
    np.testing.assert_allclose(scaled_tanh(jnp.array(100.0)), 1.7159, rtol=1e-6)


def test_scaled_tanh_bends_most_at_one_where_lecun_wants_the_targets():
    with jax.enable_x64(True):
        x = jnp.linspace(0, 3, 3001)
        second = jax.vmap(jax.grad(jax.grad(scaled_tanh)))(x)
        # LeCun et al. 1998, appendix A: the extrema of the second derivative are at ±1.
        np.testing.assert_allclose(x[jnp.argmin(second)], 1, atol=0.02)


def test_every_activation_is_found_by_its_name():
    for name, function in ACTIVATIONS.items():
        assert activation(name) is function


def test_a_misspelt_activation_is_refused_with_the_nearest_name_and_all_names():
    with pytest.raises(UserError, match=r"'scale_tanh'; did you mean scaled_tanh\? \(there are: relu, .*tanh\)"):
        activation("scale_tanh")
    with pytest.raises(UserError, match=r"no activation is called 'zzz' \(there are: relu"):
        activation("zzz")


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)], ids=len)
def test_an_activation_leaves_shape_and_dtype_and_has_no_parameters(name, dtype, shape):
    layer = Activation(activation(name))
    x = jnp.ones(shape, dtype)
    y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert not variables
