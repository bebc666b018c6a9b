"""Runs that are killed, at any moment, end with the bits of runs that are not."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from tests.faults import kinds

LAUNCH = Path(__file__).parents[2] / "launch.py"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The runs as they are when nobody disturbs them, by steps and arms; trained when they are first asked for."""
    found = {}

    def undisturbed(start, steps, arms):
        if (steps, arms) not in found:
            workdir = tmp_path_factory.mktemp("undisturbed") / "study"
            process = launch(start, workdir, steps, arms)
            _, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors
            found[steps, arms] = kinds.left_by(workdir)
        return found[steps, arms]

    return undisturbed


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A cache of their own: a program that is being written to it when somebody is killed stays cut in two there, of
    which every later process warns."""
    return tmp_path_factory.mktemp("compiled")


def launch(start, workdir, steps, arms):
    file = f"--config={kinds.__file__}:{steps}"
    return start(LAUNCH, "run", file, f"--workdir={workdir}", f"--arms={','.join(arms)}")


def unfinished(workdir):
    """The checkpoints that are being written, or were when somebody was killed."""
    return set(workdir.glob("*/seed-*/checkpoints/*tmp*"))


def has_begun(workdir, lines):
    """Whether this launch has come to train."""
    return sum(path.stat().st_size for path in workdir.glob("*/seed-*/metrics.jsonl")) != lines


def kill_at_random(process, workdir, moments, inside_a_checkpoint):
    """Kills a launch some time after it has begun to train. Returns how it ended, and whether it was saving."""
    before, left = sum(path.stat().st_size for path in workdir.glob("*/seed-*/metrics.jsonl")), unfinished(workdir)
    deadline = time.monotonic() + 300
    while process.poll() is None and not has_begun(workdir, before) and time.monotonic() < deadline:
        time.sleep(0.02)
    end = time.monotonic() + moments.uniform(0, 1.0)
    while process.poll() is None and (
        time.monotonic() < end or (inside_a_checkpoint and not unfinished(workdir) - left)
    ):
        time.sleep(0.0005 if inside_a_checkpoint else 0.01)
        if time.monotonic() > end + 20:
            break
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return process.returncode, bool(unfinished(workdir) - left)


def kill_and_compare(start, undisturbed, workdir, steps, kills, seed, arms=tuple(kinds.ARMS)):
    """Launches until so many were killed, and once more to the end; returns how many of them were saving."""
    moments, killed, saving, round_ = random.Random(seed), 0, 0, 0
    folder = workdir / "0"
    while killed < kills:
        status, was_saving = kill_at_random(launch(start, folder, steps, arms), folder, moments, killed % 2 == 1)
        if status == 0:  # it came to its end before its moment: the next ones get a new study
            kinds.assert_same(undisturbed(start, steps, arms), kinds.left_by(folder))
            round_ += 1
            folder = workdir / str(round_)
            continue
        assert status == -signal.SIGKILL
        killed, saving = killed + 1, saving + was_saving
    process = launch(start, folder, steps, arms)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    kinds.assert_same(undisturbed(start, steps, arms), kinds.left_by(folder))
    return saving


def test_runs_survive_two_kills(start, undisturbed, tmp_path):
    arms = ("mlp", "char_rnn", "together")
    kill_and_compare(start, undisturbed, tmp_path, steps=30, kills=2, seed=0, arms=arms)


@pytest.mark.slow
def test_runs_of_every_kind_survive_fifty_kills(start, undisturbed, tmp_path, capsys):
    saving = kill_and_compare(start, undisturbed, tmp_path, steps=120, kills=50, seed=1)
    with capsys.disabled():
        print(f"\n50 kills, {saving} of them inside the writing of a checkpoint: every run ended with the same bits")
    assert saving >= 10
