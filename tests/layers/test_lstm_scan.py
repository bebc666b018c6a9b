"""The LSTM's gradient as it is written out, against what JAX derives of the cell itself."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.layers import lstm_scan
from canon.layers.recurrence import Recurrence

LENGTHS = np.array([2, 6, 5])


@pytest.mark.parametrize("unroll", [1, 4])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "padded"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "lstm_peephole"])
def test_the_written_gradient_is_what_jax_derives(cell, reverse, lengths, unroll, random, monkeypatch):
    layer = Recurrence(5, cell=cell, reverse=reverse, unroll=unroll)
    x = random.normal(size=(3, 6, 4))
    params = layer.init(jax.random.key(0), x.astype(np.float32))["params"]
    params = jax.tree.map(lambda a: random.normal(scale=0.5, size=a.shape), params)
    carry = tuple(random.normal(size=(3, 5)) for _ in range(2))
    weights = random.normal(size=(3, 6, 5))

    def gradients():
        def loss(params, x, carry):
            outputs, last = layer.apply({"params": params}, x, carry, lengths)
            return (outputs * weights).sum() + sum(jnp.cos(a).sum() for a in last)

        return jax.jit(jax.grad(loss, (0, 1, 2)))(params, x, carry)

    with jax.enable_x64(True):
        ours = gradients()
        monkeypatch.setattr(lstm_scan, "STEPS", ())
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), ours, gradients())


def test_lengths_may_be_traced(random):
    layer = Recurrence(3)
    x = random.normal(size=(3, 6, 2)).astype(np.float32)
    variables = layer.init(jax.random.key(0), x)

    def loss(variables, lengths):
        return jnp.square(layer.apply(variables, x, lengths=lengths)[0]).sum()

    compiled = jax.jit(jax.grad(loss))(variables, LENGTHS)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        compiled,
        jax.grad(loss)(variables, LENGTHS),
    )
