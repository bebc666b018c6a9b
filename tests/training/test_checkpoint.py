import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax import numpy as jnp
from ml_collections import ConfigDict

from canon.errors import UserError
from canon.study import plan
from canon.training import checkpoint, program
from canon.training.checkpoint import DAMAGED_FOLDER, Checkpoints


@pytest.fixture
def built(tiny_config):
    return program.build(plan.arm_configs(tiny_config)["only"])


@pytest.fixture
def saved(built, tmp_path):
    """A folder with checkpoints of the steps 1 and 2, and the states in them."""
    states = {step: built.init(step).replace(step=jnp.int32(step)) for step in (1, 2)}
    with Checkpoints(tmp_path / "run" / "checkpoints", "the config", keep=2) as checkpoints:
        for step, state in states.items():
            checkpoints.save(state, {"window": [], "seconds": 0.5 * step})
    return tmp_path / "run" / "checkpoints", states


def test_a_state_comes_back_bit_for_bit_with_what_json_held(built, tmp_path):
    state = built.init(3).replace(step=jnp.int32(7))
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(state, {"window": [{"loss": [0.1, 2.0]}], "seconds": 1.5})
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 7
        restored, progress = checkpoints.restore(built.abstract_state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert progress == {"window": [{"loss": [0.1, 2.0]}], "seconds": 1.5}


def test_a_state_of_many_devices_comes_back_on_one(tiny_config, tmp_path):
    many, one = (
        program.build(plan.arm_configs(plan.merge(tiny_config, ConfigDict({"parallel": {"devices": n}})))["only"])
        for n in (4, 1)
    )
    state = many.init(3).replace(step=jnp.int32(7))
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(state, {})
    with Checkpoints(tmp_path) as checkpoints:
        restored, _ = checkpoints.restore(one.abstract_state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert all(leaf.sharding.is_equivalent_to(place.sharding, leaf.ndim) for leaf, place in zip(
        jax.tree.leaves(restored), jax.tree.leaves(one.abstract_state), strict=True
    ))  # fmt: skip
    assert not list(tmp_path.rglob("*_sharding*"))


def test_a_checkpoint_that_orbax_wrote_with_all_that_it_writes_is_read(built, tmp_path, monkeypatch):
    state = built.init(3).replace(step=jnp.int32(7))
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_state_handler", ocp.PyTreeCheckpointHandler)
        with Checkpoints(tmp_path, keep=2) as checkpoints:
            checkpoints.save(state, {})
    assert list(tmp_path.rglob("*_sharding*"))
    with Checkpoints(tmp_path) as checkpoints:
        restored, _ = checkpoints.restore(built.abstract_state)
        checkpoints.verify(7)
    jax.tree.map(np.testing.assert_array_equal, restored, state)


def test_as_many_are_kept_as_are_wanted_the_latest_ones(built, tmp_path):
    for keep in (1, 2, 3):
        with Checkpoints(tmp_path / str(keep), keep=keep) as checkpoints:
            for step in (1, 2, 3):
                checkpoints.save(built.init(0).replace(step=jnp.int32(step)), {})
            checkpoints._manager.wait_until_finished()
            assert checkpoints.steps() == [1, 2, 3][-keep:]


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"model": {"hidden": (8, 8)}}, "params/hidden2/bias is missing there, float32[8] here"),
        ({"model": {"hidden": (9,)}}, "params/hidden1/bias is float32[8] there, float32[9] here"),
        ({"optimizer": {"name": "adam"}}, "opt_state/1/mu/classifier/bias is missing there, float32[10] here"),
    ],
)
def test_another_networks_checkpoint_is_refused_with_its_differences(built, tiny_config, saved, changes, difference):
    other = program.build(plan.arm_configs(plan.merge(tiny_config, ConfigDict(changes)))["only"])
    with Checkpoints(saved[0], keep=2) as checkpoints, pytest.raises(UserError, match="of another network") as raised:
        checkpoints.restore(other.abstract_state)
    text = str(raised.value)
    assert "checkpoint of step 2" in text
    assert difference in text


def test_nothing_is_cast_in_silence(built, saved):
    half = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float16, sharding=a.sharding), built.abstract_state)
    with (
        Checkpoints(saved[0], keep=2) as checkpoints,
        pytest.raises(UserError, match="float32.* there, float16.* here"),
    ):
        checkpoints.restore(half)


def test_another_configs_checkpoint_is_refused(built, saved):
    with Checkpoints(saved[0], "another", keep=2) as checkpoints, pytest.raises(UserError, match="another config"):
        checkpoints.restore(built.abstract_state)


def damage(folder):
    arrays = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    arrays.write_bytes(arrays.read_bytes()[:-1])


def test_the_one_before_is_taken_where_the_newest_is_damaged_and_that_is_said(built, saved):
    folder, states = saved
    damage(folder / "2")
    said = []
    with Checkpoints(folder, "the config", keep=2) as checkpoints:
        restored, progress = checkpoints.restore(built.abstract_state, said.append)
        jax.tree.map(np.testing.assert_array_equal, restored, states[1])
        assert progress["seconds"] == 0.5
        checkpoints.save(states[2], {"seconds": 7.0})  # the run comes to that step again
    assert len(said) == 1
    assert "the checkpoint of step 2 is damaged" in said[0]
    assert "goes on from step 1" in said[0]
    assert (folder.parent / DAMAGED_FOLDER / "2").is_dir()
    with Checkpoints(folder, "the config") as checkpoints:
        assert checkpoints.restore(built.abstract_state)[1] == {"seconds": 7.0}


def test_where_none_is_whole_all_that_was_tried_is_said(built, saved):
    folder, _ = saved
    damage(folder / "1")
    damage(folder / "2")
    with (
        Checkpoints(folder, keep=2) as checkpoints,
        pytest.raises(UserError, match="no checkpoint .* is whole") as raised,
    ):
        checkpoints.restore(built.abstract_state)
    assert "step 2 is damaged" in str(raised.value)
    assert "step 1 is damaged" in str(raised.value)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_whoever_only_reads_gets_the_newest_or_none_and_changes_nothing(built, saved):
    folder, states = saved
    with Checkpoints(folder) as checkpoints:
        jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_params(), states[2].params)
    damage(folder / "2")
    with Checkpoints(folder) as checkpoints:
        for read in (lambda: checkpoints.restore(built.abstract_state), checkpoints.restore_params):
            with pytest.raises(UserError, match="step 2 .* is damaged.* move its folder away"):
                read()
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_a_folder_that_was_removed_is_not_made_again(built, saved):
    folder, states = saved
    with Checkpoints(folder, keep=2) as checkpoints:
        shutil.rmtree(folder.parent)
        with pytest.raises(FileNotFoundError, match="removed"):
            checkpoints.save(states[2].replace(step=jnp.int32(3)), {})
    assert not folder.exists()


def test_a_folder_without_one_says_so(built, tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest_step() is None
        with pytest.raises(UserError, match="no checkpoint"):
            checkpoints.restore(built.abstract_state)


@pytest.mark.parametrize(
    "error", [MemoryError("7 GiB"), PermissionError(13, "denied"), ValueError("Too many open files")]
)
def test_what_cannot_be_read_for_now_is_not_taken_for_damaged(built, saved, error, monkeypatch):
    folder, _ = saved
    with Checkpoints(folder, keep=2) as checkpoints:

        def restore(*_, **__):
            raise error

        monkeypatch.setattr(checkpoints._manager, "restore", restore)
        with pytest.raises(MemoryError if isinstance(error, MemoryError) else OSError):
            checkpoints.restore(built.abstract_state)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_a_run_that_goes_back_forgets_what_came_later(saved):
    folder, states = saved
    with Checkpoints(folder, keep=2) as checkpoints:
        with pytest.raises(OSError, match="there is one of a step above 0"):
            checkpoints.save(states[1].replace(step=jnp.int32(0)), {})
        checkpoints.forget_after(1)
        assert checkpoints.steps() == [1]
        checkpoints.save(states[2], {})
        checkpoints.wait()
        assert checkpoints.steps() == [1, 2]
