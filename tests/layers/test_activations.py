import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp
from scipy.special import softmax as scipy_softmax

from canon.errors import UserError
from canon.layers.activations import (
    ACTIVATIONS,
    Activation,
    activation,
    relu_by_hand,
    scaled_tanh,
    softmax,
    softmax_jacobian,
)


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


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=8))
@settings(max_examples=30)
def test_the_rectifier_with_a_gradient_of_its_own_is_jaxs(values):
    x = jnp.asarray([*values, 0.0, -0.0], jnp.float32)
    cotangent = jnp.arange(1.0, len(x) + 1)
    for ours, theirs in zip(jax.vjp(relu_by_hand, x), jax.vjp(jax.nn.relu, x), strict=True):
        if callable(ours):
            ours, theirs = ours(cotangent)[0], theirs(cotangent)[0]
        np.testing.assert_array_equal(ours, theirs)


def test_what_the_rectifier_keeps_for_the_backward_pass_is_a_byte_an_element():
    x = jnp.ones((3, 4))
    kept = jax.tree.leaves(jax.eval_shape(lambda x: jax.vjp(relu_by_hand, x)[1], x))
    assert [(leaf.shape, leaf.dtype) for leaf in kept] == [((3, 4), jnp.bool_)]


@given(st.integers(0, 1000), st.sampled_from([0.1, 1.0, 50.0]))
@settings(max_examples=20)
def test_the_jacobian_of_a_softmax_is_the_derivative_and_its_formula(seed, scale):
    with jax.enable_x64(True):
        z = scale * np.random.default_rng(seed).normal(size=(3, 5))
        y = scipy_softmax(z, axis=-1)
        np.testing.assert_allclose(softmax(jnp.asarray(z)), y, rtol=1e-10)
        jacobian = softmax_jacobian(jnp.asarray(z))
        expected = np.stack([np.diag(row) - np.outer(row, row) for row in y])
        np.testing.assert_allclose(jacobian, expected, atol=1e-12)
        np.testing.assert_allclose(jacobian, jax.vmap(jax.jacfwd(softmax))(jnp.asarray(z)), atol=1e-12)
        np.testing.assert_allclose(jacobian.sum(axis=-1), 0, atol=1e-12)
