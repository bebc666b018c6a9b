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

    def computed():
        def loss(params, x, carry):
            outputs, last = layer.apply({"params": params}, x, carry, lengths)
            return (jnp.sin(3 * outputs) * weights).sum() + sum(jnp.cos(a).sum() for a in last), (outputs, last)

        return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(params, x, carry)

    with jax.enable_x64(True):
        ours, alone = computed(), layer.apply({"params": params}, x, carry, lengths)
        monkeypatch.setattr(lstm_scan, "STEPS", ())
        derived = computed()
        assert_close(ours, derived)
        assert_close(alone, derived[0][1])  # without a gradient it is another program


def assert_close(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), one, other)


@pytest.mark.parametrize("time", [0, 1])
def test_sequences_may_be_as_short_as_can_be(time, random):
    layer = Recurrence(3)
    variables = layer.init(jax.random.key(0), np.ones((2, 1, 4), np.float32))
    x = random.normal(size=(2, time, 4)).astype(np.float32)

    def loss(variables, x):
        outputs, (h, c) = layer.apply(variables, x)
        return jnp.square(outputs).sum() + jnp.sin(h + c).sum()

    gradients = jax.grad(loss, (0, 1))(variables, x)
    assert gradients[1].shape == x.shape
    assert any(a.any() for a in jax.tree.leaves(gradients)) == (time > 0)


@pytest.mark.parametrize("cell", ["lstm", "lstm_peephole"])
def test_several_networks_at_once_and_products_with_the_hessian(cell, random, monkeypatch):
    layer = Recurrence(3, cell=cell)
    x = random.normal(size=(2, 5, 4))
    seeds = jax.random.split(jax.random.key(0), 3)
    params = jax.vmap(lambda key: layer.init(key, x.astype(np.float32))["params"])(seeds)
    params = jax.tree.map(lambda a: random.normal(scale=0.5, size=a.shape), params)
    direction = jax.tree.map(lambda a: random.normal(size=a.shape), params)

    def computed():
        def gradient(params):
            return jax.grad(lambda p: jnp.sin(3 * layer.apply({"params": p}, x)[0]).sum())(params)

        return jax.jit(jax.vmap(lambda p, d: jax.jvp(gradient, (p,), (d,))))(params, direction)

    with jax.enable_x64(True):
        ours = computed()
        monkeypatch.setattr(lstm_scan, "STEPS", ())
        assert_close(ours, computed())


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
