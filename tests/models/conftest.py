"""What the tests of networks share: the other side, in PyTorch, and variables that are quickly made."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp


@pytest.fixture(scope="session")
def torch_networks():
    """`benchmarks.torch_networks`, written from the papers with nothing of canon; skips where PyTorch is missing."""
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    torch.set_num_threads(1)  # the tests run on all cores already
    from benchmarks import torch_networks

    return torch_networks


@pytest.fixture
def draw(random):
    """A function from `init(key)` to variables as it draws them, of He et al.'s variance, without compiling `init`."""

    def draw_leaf(path, leaf):
        kind = path[-1].key
        if kind in ("kernel", "coefficient"):
            deviation = np.sqrt(2 / np.prod(leaf.shape[:-1]))
            return jnp.asarray(random.standard_normal(leaf.shape, np.float32) * np.float32(deviation))
        return jnp.asarray(np.full(leaf.shape, kind in ("scale", "var"), leaf.dtype))

    return lambda init: jax.tree_util.tree_map_with_path(draw_leaf, jax.eval_shape(init, jax.random.key(0)))
