"""Whatever runs the step, it is the same step: devices, `jit` and `pmap`, micro-batches."""

import functools

import jax
import numpy as np
import pytest
from tests.training import twenty_steps
from tests.training.runs import build
from tests.training.twenty_steps import MODELS, assert_same

from canon import config as canon_config
from canon.errors import UserError
from canon.training import loop, parallel


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(name, changes of `parallel`) -> what came of twenty steps."""
    folder = tmp_path_factory.mktemp("text")
    return functools.cache(lambda name, **changes: twenty_steps.flat(twenty_steps.train(name, folder, **changes)))


def test_there_are_several_devices_to_test_on():
    assert jax.local_device_count() == 8


@pytest.mark.parametrize(
    ("devices", "batch_size", "reason"), [(9, 64, "the 8 there are"), (-1, 64, "8"), (8, 12, "evenly")]
)
def test_a_mesh_that_does_not_fit_is_refused(devices, batch_size, reason):
    with pytest.raises(UserError, match=reason):
        parallel.data_mesh(devices, batch_size)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step": "pnap"}, "must be one of jit, pmap, not 'pnap'; did you mean pmap"),
        ({"batch_statistics": "local"}, "must be one of global, device, not 'local'"),
        ({"micro_batches": 0}, "at least 1, not 0"),
        ({"micro_batches": 3}, "does not divide the 32 examples"),
        ({"micro_batches": 8, "devices": 8}, "does not divide the 4 examples"),
    ],
)
def test_a_section_that_does_not_fit_is_refused(changes, reason):
    config = canon_config.default().parallel
    config.update(changes)
    with pytest.raises(UserError, match=reason):
        parallel.check(config, 32)


def test_zero_takes_all_devices():
    assert parallel.data_mesh(0, 64).size == 8


@pytest.mark.parametrize(("devices", "step"), [(1, "jit"), (4, "jit"), (4, "pmap")])
def test_a_step_uses_up_its_state_and_nothing_else(tiny_config, devices, step):
    """`device_put` may return another name of the same memory: to give that away would lose the data, or the seed."""
    built = build(tiny_config, parallel={"devices": devices, "step": step})
    batch = built.pipelines["train"].batch(0, 0)
    before = jax.device_get((batch, built.pipelines["test"].batch(0, 0)))
    first, second = built.init(0), built.init(0)
    for _ in range(3):
        first, _ = built.train_step(first, batch)
    loop.evaluate(built, first, "test")
    loop.evaluate(built, first, "test")  # an evaluation leaves even the state
    for _ in range(3):
        second, _ = built.train_step(second, batch)
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)
    jax.tree.map(np.testing.assert_array_equal, (batch, built.pipelines["test"].batch(0, 0)), before)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("devices", "step"), [pytest.param(2, "jit", marks=pytest.mark.slow), (4, "jit"), (8, "jit"), (4, "pmap")]
)
def test_devices_change_nothing(trained, name, devices, step):
    assert_same(trained(name), trained(name, devices=devices, step=step))


@pytest.mark.parametrize("changes", [{}, {"devices": 2}, {"devices": 2, "step": "pmap"}], ids=str)
@pytest.mark.parametrize("name", [name for name in MODELS if name != "batch_norm"])
def test_micro_batches_change_nothing(trained, name, changes):
    assert_same(trained(name), trained(name, micro_batches=4, **changes))


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_state_comes_from_one_seed_however_it_is_compiled(monkeypatch, processes):
    def init(seed):
        first, second = jax.random.split(jax.random.key(seed))
        return {
            "a": jax.random.normal(first, (3, 4)),
            "b": jax.random.normal(second, (3, 4)),
            "zeros": jax.numpy.zeros(5),
        }

    mesh = parallel.data_mesh(2, 2)
    monkeypatch.setattr(jax, "process_count", lambda: processes)  # several have one program over all of them
    state, shapes = parallel.compile_init(init, mesh)
    found = state(3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, init(jax.numpy.uint32(3)))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), found) == jax.tree.map(lambda a: (a.shape, a.dtype), shapes)
    assert all(len(leaf.sharding.device_set) == 2 for leaf in jax.tree.leaves(found))
