import re

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from canon.layers import batch_sums
from canon.layers.batch_sums import sum_to_channels

SHAPES = [(7,), (6, 4), (16, 3, 5), (8, 5, 7, 3), (7, 4, 4, 300), (1, 2, 3, 2, 5), (0, 3, 2)]


@pytest.mark.parametrize("factors", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_numpys_sum(shape, factors, random, monkeypatch):
    monkeypatch.setattr(batch_sums, "ELEMENTS", 1)  # several slices, wherever the batch has so many
    arrays = [random.normal(size=shape) for _ in range(factors)]
    with jax.enable_x64(True):
        total = jax.jit(sum_to_channels)(*arrays)
    assert total.dtype == np.float64
    np.testing.assert_allclose(total, np.prod(arrays, axis=0).reshape(-1, shape[-1]).sum(0), rtol=1e-12, atol=1e-12)


def test_whole_numbers_have_their_sum_too():
    x = jnp.arange(24, dtype=jnp.int32).reshape(2, 4, 3)
    np.testing.assert_array_equal(sum_to_channels(x), np.arange(24).reshape(-1, 3).sum(0))


def test_the_batches_of_several_networks_are_summed_apart(random):
    x = random.normal(size=(3, 16, 8, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(jax.vmap(sum_to_channels)(x), x.sum((1, 2, 3)), rtol=1e-4, atol=1e-4)


def test_no_product_is_of_a_vector():
    """XLA's CPU backend writes out machine code for each of those, and compiling takes half as long again."""
    program = jax.jit(sum_to_channels).lower(jnp.ones((64, 8, 8, 16))).compile().as_text()
    products = re.findall(r"= f32\[([\d,]*)\]\S* dot\(", program)
    assert products == ["2,1024"]


def test_many_numbers_of_one_sign_lose_no_more_than_rounding():
    ones = jnp.full((128, 64, 64, 2), 0.1, jnp.float32)
    np.testing.assert_allclose(sum_to_channels(ones), 128 * 64 * 64 * np.float64(np.float32(0.1)), rtol=1e-5)


def test_what_is_not_finite_stays_with_its_channel():
    x = jnp.zeros((8, 4, 3)).at[2, 1, 0].set(jnp.inf).at[5, 0, 1].set(jnp.nan)
    total = sum_to_channels(x)
    assert jnp.isinf(total[0])
    assert jnp.isnan(total[1])
    assert total[2] == 0


def test_a_batch_over_devices_has_the_same_sum(random):
    mesh = Mesh(np.array(jax.devices()[:8]), ("data",))
    x = random.normal(size=(64, 16, 16, 16)).astype(np.float32)
    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    np.testing.assert_allclose(jax.jit(sum_to_channels)(split), x.sum((0, 1, 2)), rtol=1e-4, atol=1e-3)
