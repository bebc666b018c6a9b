import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from jax import numpy as jnp
from scipy.special import log_softmax, softmax

from canon import losses


@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.1, 1.0, 100.0]))
def test_cross_entropy_equals_scipys_log_softmax_and_its_gradient_is_y_minus_t(seed, scale):
    random = np.random.default_rng(seed)
    with jax.enable_x64(True):
        logits, labels = scale * random.normal(size=(5, 4)), random.integers(0, 4, 5)
        loss = losses.softmax_cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
        np.testing.assert_allclose(loss, -log_softmax(logits, axis=1)[np.arange(5), labels], rtol=1e-10, atol=1e-12)
        gradient = jax.grad(lambda z: losses.softmax_cross_entropy(z, jnp.asarray(labels)).sum())(jnp.asarray(logits))
        np.testing.assert_allclose(gradient, softmax(logits, axis=1) - np.eye(4)[labels], atol=1e-12)


def test_an_impossible_label_and_a_tie_give_finite_numbers():
    loss = losses.softmax_cross_entropy(jnp.array([[1e4, -1e4], [0.0, 0.0]]), jnp.array([1, 0]))
    np.testing.assert_allclose(loss, [2e4, np.log(2)], rtol=1e-6)
