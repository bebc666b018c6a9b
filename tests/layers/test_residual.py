import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers.residual import BasicBlock, zero_padded_identity


@pytest.mark.parametrize("size", [4, 5])
def test_option_a_keeps_every_second_pixel_and_adds_zeros(size, random):
    x = jnp.asarray(random.normal(size=(2, size, size, 3)), jnp.float32)
    y = zero_padded_identity(x, features=7, stride=2)
    assert y.shape == (2, (size + 1) // 2, (size + 1) // 2, 7)
    np.testing.assert_array_equal(y[..., :3], x[:, ::2, ::2])
    assert (y[..., 3:] == 0).all()


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize("stride", [1, 2])
def test_shortcut_and_convolutions_agree_on_the_shape(shortcut, stride):
    block = BasicBlock(features=8, stride=stride, shortcut=shortcut)
    x = jnp.zeros((2, 5, 6, 4))
    y = jax.eval_shape(lambda key: block.init_with_output(key, x)[0], jax.random.key(0))
    assert y.shape == (2, -(-5 // stride), -(-6 // stride), 8)


def test_a_block_whose_convolutions_are_zero_is_the_identity_with_a_shortcut_and_nothing_without(random):
    x = jnp.asarray(random.uniform(size=(2, 4, 4, 8)), jnp.float32)
    for shortcut, expected in (("A", x), ("none", jnp.zeros_like(x))):
        block = BasicBlock(features=8, shortcut=shortcut)
        variables = block.init(jax.random.key(0), x)
        silent = variables | {"params": jax.tree.map(jnp.zeros_like, variables["params"])}
        np.testing.assert_array_equal(block.apply(silent, x), expected)


def test_an_unknown_shortcut_is_refused():
    with pytest.raises(UserError, match="not 'a'"):
        BasicBlock(features=8, shortcut="a").init(jax.random.key(0), jnp.zeros((1, 4, 4, 8)))
