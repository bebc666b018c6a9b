"""What every test runs under: eight fake CPU devices, strict dtypes, and, by pyproject.toml, warnings as errors."""

import os

# Before jax starts. Unoptimised code: the tests compile much and compute little.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import hypothesis
import jax
import numpy as np
import pytest
from absl import logging
from ml_collections import ConfigDict

from canon import config as canon_config
from canon.data.sources import ArraySource
from canon.study import plan

hypothesis.settings.register_profile("canon", deadline=None)  # what is compiled first takes its time
hypothesis.settings.load_profile("canon")
jax.config.update("jax_numpy_dtype_promotion", "strict")
logging.set_verbosity(logging.ERROR)


@pytest.fixture
def random():
    """A NumPy generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture
def tiny_config():
    """The complete config of a run that takes a second: an MLP of one small layer on digits, 12 steps."""
    config = canon_config.default()
    config.model = ConfigDict({"name": "mlp", "hidden": (8,)})
    config.schedule = ConfigDict({"name": "constant", "learning_rate": 0.1})
    config.train.batch_size = 32
    config.train.steps = 12
    config.train.log_every = 4
    config.train.evaluate_every = 6
    config.train.checkpoint_every = 5
    config.arms = ConfigDict({"only": {}})
    return plan.complete(config)


@pytest.fixture
def tiny_study(tiny_config):
    """Two arms of `tiny_config`, and a claim about them."""
    with tiny_config.unlocked():
        tiny_config.arms = ConfigDict({"narrow": {}, "wide": {"model": {"hidden": (16,)}}})
        claim = canon_config.claim(statement="Narrow is worse.", higher="narrow", lower="wide")
        tiny_config.claims = ConfigDict({"width": claim})
    return tiny_config.lock()


@pytest.fixture
def toy_source(random):
    """103 grey images of 6×5 pixels in 4 classes."""
    images = random.integers(0, 256, (103, 6, 5, 1), dtype=np.uint8)
    return ArraySource(images, (np.arange(103) % 4).astype(np.int32), num_classes=4)
