"""The gradient in parts is that of the whole, and batch normalisation sees what the config says."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from canon import config as canon_config
from canon import models
from canon.training import gradient, parallel
from canon.training.task import Classification


def section(**changes):
    config = canon_config.default().parallel
    config.update(ConfigDict(changes))
    return config


def mesh(devices):
    return Mesh(np.array(jax.devices()[:devices]), ("data",))


@pytest.fixture
def batch(random):
    """Eight images, of which a mask leaves 1 of rows 0 and 1, and none of rows 2 and 3, in."""
    return {
        "image": jnp.asarray(random.normal(size=(8, 8, 8, 1)), jnp.float32),
        "label": jnp.asarray(random.integers(3, size=8), jnp.int32),
        "mask": jnp.asarray([1, 0, 0, 0, 1, 1, 1, 1], jnp.float32),
    }


@pytest.fixture
def convnet():
    return Classification(models.create("cifar_resnet", depth=8, num_classes=3))


def in_parts_of(task, parts, unroll):
    return gradient.mean(gradient.accumulate(gradient.sums(task), parts, unroll))


def mlp():
    return Classification(models.create("mlp", hidden=(5,), num_classes=3))


def close(one, other, tolerance=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance), one, other)


# Two micro-batches, {0, 2, 4, 6} and {1, 3, 5, 7}; four devices, of which the second sees nothing that counts.
@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("unroll", [False, True])
def test_micro_batches_that_count_unequally_make_the_gradient_of_their_batch(batch, parts, unroll):
    task = mlp()
    whole = gradient.of_task(task)
    params, state = task.init(jax.random.key(0), batch)
    key = jax.random.key(1)
    close(in_parts_of(task, parts, unroll)(params, state, batch, key), whole(params, state, batch, key))


@pytest.mark.parametrize("step", ["jit", "pmap"])
@pytest.mark.parametrize("statistics", ["global", "device"])
def test_devices_that_count_unequally_make_the_gradient_of_their_batch(batch, step, statistics):
    task = mlp()
    params, state = task.init(jax.random.key(0), batch)
    key = jax.random.key(1)
    found = on_devices(task, params, state, batch, key, 4, step=step, batch_statistics=statistics)
    close(found, gradient.of_task(task)(params, state, batch, key))


def on_devices(task, params, state, batch, key, devices, **changes):
    """What the gradient of the section `parallel` returns, under `jit` or `pmap`."""
    mapped = parallel.in_parts(task, section(**changes), mesh(devices))
    if changes["step"] == "jit":
        placed = jax.device_put(batch, parallel.split(mesh(devices)))
        return jax.jit(mapped)(params, state, placed, key)
    cut = jax.tree.map(lambda a: a.reshape(devices, -1, *a.shape[1:]), batch)
    on_each = jax.pmap(mapped, "data", in_axes=(None, None, 0, None), devices=jax.devices()[:devices])
    return jax.tree.map(lambda a: a[0], on_each(params, state, cut, key))


@pytest.mark.parametrize("step", ["jit", "pmap"])
def test_statistics_of_a_device_are_of_its_part_and_the_running_ones_their_mean(batch, convnet, step):
    batch.pop("mask")
    params, state = convnet.init(jax.random.key(0), batch)
    key = jax.random.key(1)
    halves = [
        gradient.of_task(convnet)(params, state, {n: a[rows] for n, a in batch.items()}, key)
        for rows in (slice(0, 4), slice(4, 8))
    ]
    found, _, model_state, _ = on_devices(convnet, params, state, batch, key, 2, step=step, batch_statistics="device")
    close(found, jax.tree.map(lambda a, b: (a + b) / 2, halves[0][0], halves[1][0]), 1e-5)
    close(model_state, jax.tree.map(lambda a, b: (a + b) / 2, halves[0][2], halves[1][2]), 1e-5)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("step", ["jit", "pmap"])
def test_global_statistics_are_of_the_whole_batch(batch, convnet, step, masked):
    """Also where devices count unequally: the loss on one of them then has to do with the images on the other."""
    if not masked:
        batch.pop("mask")
    params, state = convnet.init(jax.random.key(0), batch)
    key = jax.random.key(1)
    found = on_devices(convnet, params, state, batch, key, 2, step=step, batch_statistics="global")
    close(found, gradient.of_task(convnet)(params, state, batch, key), 1e-5)


def test_batch_normalization_sees_micro_batches_one_after_another(batch, convnet):
    batch.pop("mask")
    params, state = convnet.init(jax.random.key(0), batch)
    sums, running = [], state
    for rows in (slice(0, 8, 2), slice(1, 8, 2)):
        part = {name: a[rows] for name, a in batch.items()}
        its, _, running, _ = gradient.of_task(convnet)(params, running, part, jax.random.key(1))
        sums.append(its)
    found, _, model_state, _ = in_parts_of(convnet, 2, True)(params, state, batch, jax.random.key(1))
    close(found, jax.tree.map(lambda a, b: (a + b) / 2, *sums), 1e-5)
    close(model_state, running, 1e-6)


@pytest.mark.parametrize("unroll", [True, False])
def test_on_a_cpu_no_convolution_is_in_a_loop(batch, convnet, unroll):
    """There its gradient is tens of times slower in one: jax-ml/jax#12868."""
    params, state = convnet.init(jax.random.key(0), batch)
    in_parts = in_parts_of(convnet, 2, unroll)
    loops = "stablehlo.while" in jax.jit(in_parts).lower(params, state, batch, jax.random.key(1)).as_text()
    assert loops != unroll
    section_of = section(micro_batches=2)
    chosen = parallel.in_parts(convnet, section_of, mesh(1))
    assert "stablehlo.while" not in jax.jit(chosen).lower(params, state, batch, jax.random.key(1)).as_text()


def test_what_is_drawn_differs_between_the_parts(batch):
    """With one key for all parts, dropout would cut the same units everywhere."""
    task = Classification(models.create("mlp", hidden=(50,), num_classes=3, dropout_rate=0.5))
    batch = {"image": jnp.ones((8, 4, 4, 1)), "label": jnp.zeros(8, jnp.int32)}
    params, state = task.init(jax.random.key(0), batch)
    key = jax.random.key(1)
    one_part = {name: a[:4] for name, a in batch.items()}
    of_one = gradient.of_task(task)(params, state, one_part, jax.random.fold_in(key, 0))[0]
    of_parts = [
        in_parts_of(task, 2, True)(params, state, batch, key)[0],
        on_devices(task, params, state, batch, key, 2, step="pmap")[0],
    ]
    for found in of_parts:
        assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(*map(jax.tree.leaves, (found, of_one)), strict=True))


def test_under_pmap_each_device_augments_its_images_in_its_own_way():
    config = section(step="pmap", devices=2)

    def draw(_):
        return jax.random.uniform(parallel.key_of_device(jax.random.key(0), config))

    drawn = jax.pmap(draw, parallel.AXIS, devices=jax.devices()[:2])(jnp.zeros(2))
    assert drawn[0] != drawn[1]
    alone = parallel.key_of_device(jax.random.key(0), section())
    assert (jax.random.key_data(alone) == jax.random.key_data(jax.random.key(0))).all()
