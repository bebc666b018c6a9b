"""Whatever happens to the files of a checkpoint: what is restored is what was saved, or an error says why not."""

import random
import shutil

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.errors import UserError
from canon.study import plan
from canon.training import program
from canon.training.checkpoint import DAMAGED_FOLDER, Checkpoints

CONFIG = "of the run"
PROGRESS = {5: {"window": [{"loss": [0.5, 2.0]}], "seconds": 1.5}, 10: {"window": [], "seconds": 3.25}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(the program, a folder with checkpoints of steps 5 and 10, the two states)."""
    from ml_collections import ConfigDict

    from canon import config as canon_config

    config = canon_config.default()
    config.model = ConfigDict({"name": "mlp", "hidden": (4,)})
    config.optimizer = ConfigDict({"name": "momentum"})
    config.arms = ConfigDict({"only": {}})
    built = program.build(plan.arm_configs(plan.complete(config))["only"])
    folder = tmp_path_factory.mktemp("whole") / "checkpoints"
    states = {step: built.init(step).replace(step=jnp.int32(step)) for step in (5, 10)}
    with Checkpoints(folder, CONFIG, keep=2) as checkpoints:
        for step, state in states.items():
            checkpoints.save(state, PROGRESS[step])
    return built, folder, jax.device_get(states)


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(folder, moments):
    path = moments.choice([path for path in files_in(folder) if path.stat().st_size])
    content = bytearray(path.read_bytes())
    content[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
    path.write_bytes(content)


def truncate(folder, moments):
    path = moments.choice([path for path in files_in(folder) if path.stat().st_size])
    path.write_bytes(path.read_bytes()[: moments.randrange(path.stat().st_size)])


def grow(folder, moments):
    path = moments.choice(files_in(folder))
    path.write_bytes(path.read_bytes() + moments.randbytes(moments.randrange(1, 100)))


def zero(folder, moments):
    path = moments.choice([path for path in files_in(folder) if path.stat().st_size])
    path.write_bytes(bytes(path.stat().st_size))


def delete(folder, moments):
    moments.choice(files_in(folder)).unlink()


def delete_folder(folder, moments):
    shutil.rmtree(moments.choice(sorted(path for path in folder.rglob("*") if path.is_dir())))


def swap(folder, moments):
    """Two files change places: of one checkpoint, or of both."""
    one, other = moments.sample(files_in(folder), 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def swap_steps(folder, moments):
    """The older checkpoint, or a part of it, in the newer one's place."""
    name = moments.choice(["", "state", "progress", "manifest"])
    shutil.rmtree(folder / "10" / name)
    shutil.copytree(folder / "5" / name, folder / "10" / name)


def rename(folder, moments):
    (folder / "10").rename(folder / moments.choice(["11", "010", "ten", "10.tmp"]))


def replace(folder, moments):
    """A file where a folder was."""
    path = moments.choice(sorted(path for path in folder.rglob("*") if path.is_dir()))
    shutil.rmtree(path)
    path.write_bytes(b"")


DAMAGES = (
    flip,
    flip,
    flip,
    truncate,
    truncate,
    grow,
    zero,
    delete,
    delete_folder,
    swap,
    swap,
    swap_steps,
    rename,
    replace,
)


def damage_and_restore(whole, folder, number):
    """Damages a copy in one to three ways; returns what came of it."""
    built, original, states = whole
    moments = random.Random(number)
    shutil.copytree(original, folder / "checkpoints")
    done = []
    for _ in range(moments.choice((1, 1, 1, 2, 3))):
        damage = moments.choice(DAMAGES)
        try:
            damage(folder / "checkpoints", moments)
        except (OSError, IndexError, ValueError):  # an earlier one has left nothing to damage so
            continue
        done.append(damage.__name__)
    said = []
    try:
        with Checkpoints(folder / "checkpoints", CONFIG, keep=2) as checkpoints:
            state, progress = checkpoints.restore(built.abstract_state, said.append)
            again = checkpoints.latest_step()
    except UserError as error:
        return "refused" if "checkpoint" in str(error) and "\n" not in str(error) else f"refused: {error}"
    step = int(state.step)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), states[step])
    assert progress == PROGRESS[step], done
    if said:
        assert step == again == 5, done
        assert "damaged" in said[0]
        assert (folder / DAMAGED_FOLDER).is_dir()
        return "fell back"
    # Only where the newer one is no checkpoint any more can the older one be taken for the newest in silence.
    assert step == 10 or not (folder / "checkpoints" / "10").is_dir(), done
    return "whole"


def run(whole, tmp_path, numbers):
    counts = {"whole": 0, "fell back": 0, "refused": 0}
    for number in numbers:
        folder = tmp_path / str(number)
        folder.mkdir()
        counts[damage_and_restore(whole, folder, number)] += 1
        shutil.rmtree(folder)
    return counts


def test_thirty_damaged_checkpoints_are_known_for_damaged(whole, tmp_path):
    counts = run(whole, tmp_path, range(30))
    # Orbax's files have random names, so that others are damaged each time, and seldom all of both checkpoints.
    assert counts["whole"], counts
    assert counts["fell back"], counts


@pytest.mark.slow
def test_two_thousand_damaged_checkpoints_are_known_for_damaged(whole, tmp_path, capsys):
    counts = run(whole, tmp_path, range(1000, 3000))
    with capsys.disabled():
        print(f"\n2000 damaged checkpoint folders: {counts}; none loaded wrong, none ended in a traceback")
