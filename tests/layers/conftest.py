"""What the tests of layers share: PyTorch as the oracle, and a network for a layer to stand in."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from flax import linen as nn
from jax import numpy as jnp

from canon.layers.pooling import MaxPool


@pytest.fixture(scope="session")
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    torch.set_num_threads(1)  # the tests run on all cores already
    return torch


@pytest.fixture(scope="session")
def assert_equals_torch(torch):
    """Compares two functions of the same trees of arrays, in float64: results, and gradients of their squares' sum."""

    def check(ours, theirs, *trees, rtol=1e-9, atol=1e-10):
        with jax.enable_x64(True):

            def loss(trees):
                result = ours(*trees)
                return jnp.square(result).sum(), result

            # Compiled as a whole: for shapes met once, several times faster than operation by operation.
            gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
            (_, result), gradients = gradient(trees)
        tensors = jax.tree.map(lambda a: torch.tensor(np.asarray(a), requires_grad=True), trees)
        expected = theirs(*tensors)
        assert result.dtype == np.float64
        np.testing.assert_allclose(result, expected.detach(), rtol=rtol, atol=atol)
        expected.square().sum().backward()
        jax.tree.map(lambda g, t: np.testing.assert_allclose(g, t.grad, rtol=rtol, atol=atol), gradients, tensors)

    return check


class Stage(nn.Module):
    make: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x):
        return self.make(name="inner")(x)


class Network(nn.Module):
    make: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x):
        return Stage(self.make, name="stage2")(MaxPool(2, name="pool")(x))


@pytest.fixture(scope="session")
def shape_in_a_network():
    """The shape of a layer's result as `stage2/inner` of a network, after a pool that halves the image."""

    def shape(make, input_shape):
        x = np.zeros(input_shape, np.float32)
        return jax.eval_shape(Network(make).init_with_output, jax.random.key(0), x)[0].shape

    return shape
