import shutil

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from ml_collections import ConfigDict

from canon.errors import UserError
from canon.study import plan
from canon.training import program
from canon.training.checkpoint import Checkpoints


@pytest.fixture
def built(tiny_config):
    return program.build(plan.arm_configs(tiny_config)["only"])


def test_a_state_comes_back_bit_for_bit_with_what_json_held(built, tmp_path):
    state = built.init(3).replace(step=jnp.int32(7))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, {"window": [{"loss": [0.1, 2.0]}], "seconds": 1.5})
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 7
        restored, progress = checkpoints.restore(built.abstract_state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert progress == {"window": [{"loss": [0.1, 2.0]}], "seconds": 1.5}


def test_the_latest_two_are_kept(built, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(built.init(0).replace(step=jnp.int32(step)), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_another_networks_checkpoint_is_refused(built, tiny_config, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(built.init(0), {})
    deeper = plan.merge(tiny_config, ConfigDict({"model": {"hidden": (8, 8)}}))
    other = program.build(plan.arm_configs(deeper)["only"])
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(UserError, match="checkpoint of step 0 .*cannot be restored"),
    ):
        checkpoints.restore(other.abstract_state)


def test_no_flipped_bit_is_loaded_in_silence(built, tmp_path, random):
    state = built.init(3)
    with Checkpoints(tmp_path / "whole") as checkpoints:
        checkpoints.save(state, {})
    noticed = 0
    for case in range(20):
        damaged = tmp_path / str(case)
        shutil.copytree(tmp_path / "whole", damaged)
        arrays = max((path for path in damaged.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        content = bytearray(arrays.read_bytes())
        content[random.integers(len(content))] ^= 1 << random.integers(8)
        arrays.write_bytes(content)
        with Checkpoints(damaged) as checkpoints:
            try:
                restored, _ = checkpoints.restore(built.abstract_state)
            except UserError as error:
                noticed += "checkpoint of step 0" in str(error)
            else:  # the bit meant nothing
                jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert noticed > 5


def test_a_folder_without_one_says_so(built, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() is None
        with pytest.raises(UserError, match="no checkpoint"):
            checkpoints.restore(built.abstract_state)
