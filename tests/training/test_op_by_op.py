"""A function run operation by operation gives what it gives in one program."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.training import op_by_op as module
from canon.training.op_by_op import op_by_op


def draws(seed, scale):
    """Twice the same shape, a loop, a constant, an argument that passes through, a result that stands twice."""
    first, second, third = jax.random.split(jax.random.key(seed), 3)
    a, b = jax.random.normal(first, (3, 4)), scale["of"] * jax.random.normal(second, (3, 4))
    c = jax.lax.fori_loop(0, 3, lambda i, x: x + i, jax.random.uniform(third, (5,)))
    return {"a": a, "b": (b, c), "zeros": jnp.zeros((2, 2)), "three": jnp.asarray(np.arange(3)), "a again": a,
            "scale": scale, "one": 1.0, "key": third}  # fmt: skip


SCALE = {"of": jnp.float32(0.5)}


def test_it_is_what_one_program_gives():
    run, shapes = op_by_op(draws, jnp.uint32(0), SCALE)
    for seed in (0, 7):
        ours, theirs = run(jnp.uint32(seed), SCALE), jax.jit(draws)(jnp.uint32(seed), SCALE)
        ours["key"], theirs["key"] = jax.random.key_data(ours["key"]), jax.random.key_data(theirs["key"])
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), ours, theirs)
    assert jax.tree.map(lambda s: (s.shape, s.dtype), shapes) == jax.tree.map(
        lambda x: (x.shape, x.dtype), run(jnp.uint32(0), SCALE)
    )


def test_every_result_can_be_given_away():
    run, _ = op_by_op(draws, jnp.uint32(0), SCALE)
    given = run(jnp.uint32(0), SCALE)
    del given["key"]
    jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)(given)
    assert float(SCALE["of"]) == 0.5
    np.testing.assert_array_equal(run(jnp.uint32(0), SCALE)["three"], np.arange(3))


def test_what_the_result_does_not_need_is_not_run():
    run, shapes = op_by_op(lambda x: (x + 1, (jnp.zeros((10**5, 10**5)) @ jnp.zeros((10**5, 10**5))) * 2)[0], 1.0)
    assert shapes.shape == ()
    assert run(1.0) == 2


def test_draws_of_one_shape_are_compiled_once():
    def many(seed):
        return [jax.random.normal(key, (6, 7)) for key in jax.random.split(jax.random.key(seed), 9)]

    module._compiled.cache_clear()
    run, _ = op_by_op(many, jnp.uint32(0))
    run(jnp.uint32(0))
    others = module._compiled.cache_info().currsize
    op_by_op(lambda seed: jax.random.normal(jax.random.key(seed), (6, 7)), jnp.uint32(0))[0](jnp.uint32(1))
    assert module._compiled.cache_info().currsize == others <= 3


def test_an_effect_is_kept(capsys):
    run, _ = op_by_op(lambda x: (jax.debug.print("seen {}", x), x + 1)[1], jnp.float32(1))
    run(jnp.float32(3))
    jax.effects_barrier()
    assert capsys.readouterr().out == "seen 3.0\n"


def test_functions_with_gradients_of_their_own_are_run():
    run, _ = op_by_op(lambda x: jax.nn.relu(jax.nn.gelu(x)) + jax.lax.cond(x > 0, jnp.sin, jnp.cos, x), jnp.float32(1))
    for x in (jnp.float32(0.3), jnp.float32(-2)):
        np.testing.assert_allclose(run(x), jax.nn.relu(jax.nn.gelu(x)) + (jnp.sin if x > 0 else jnp.cos)(x), rtol=1e-6)


def test_a_mistake_shows_when_it_is_traced():
    with pytest.raises(TypeError):
        op_by_op(lambda x: jnp.zeros((2, 3)) @ jnp.zeros((2, 3)), jnp.float32(1))
