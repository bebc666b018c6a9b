"""What tests of runs share: how one is built, read back, and stopped on its way."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from canon.study import plan
from canon.training import loop, program
from canon.training.checkpoint import Checkpoints


def build(config, **changes):
    """The program of the config's one arm, with some fields changed."""
    return program.build(plan.arm_configs(plan.merge(config, ConfigDict(changes)))["only"])


def state_of(built, directory):
    """The state that a run has saved last."""
    with Checkpoints(directory / loop.CHECKPOINT_FOLDER) as checkpoints:
        return checkpoints.restore(built.abstract_state)[0]


def assert_stopping_changes_no_bit(built, folder, stop):
    """A run that is stopped after `stop` steps, and goes on, ends as one that was left alone."""
    whole = loop.train(built, 0, folder / "whole")
    left = iter(range(stop - 1, -1, -1))
    with pytest.raises(loop.Interrupted):
        loop.train(built, 0, folder / "cut", should_stop=lambda: next(left) == 0)
    assert loop.train(built, 0, folder / "cut").metrics == whole.metrics
    jax.tree.map(np.testing.assert_array_equal, state_of(built, folder / "whole"), state_of(built, folder / "cut"))
