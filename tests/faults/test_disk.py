"""A disk that is full, a folder that cannot be written, a folder that is gone: one line, and nothing half written."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tests.processes import wait_for

from canon.training.checkpoint import Checkpoints

LAUNCH = Path(__file__).parents[2] / "launch.py"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def only_whole_files(workdir):
    """Everything that is to be read as JSON can be; returns how many checkpoints there are, all of them whole."""
    whole = 0
    for path in workdir.rglob("*.json"):
        json.loads(path.read_text())
    for run in workdir.glob("*/seed-*"):
        with Checkpoints(run / "checkpoints") as checkpoints:
            for step in checkpoints.steps():
                checkpoints.verify(step)
                whole += 1
    return whole


LONG = "--arms=wide", "--config.train.steps=4000", "--config.train.checkpoint_every=20", "--config.train.log_every=20"


@pytest.mark.parametrize("room", [40_000, *(pytest.param(room, marks=pytest.mark.slow) for room in (0, 150_000))])
def test_a_full_disk_ends_a_run_in_one_line_and_keeps_the_checkpoint_before(launch_width, small_disk, room):
    ballast = small_disk / "ballast"
    process = launch_width("long", small_disk / "study", *LONG)
    wait_for(small_disk / "study" / "wide" / "seed-0" / "metrics.jsonl", '{"step": 100,')
    free = os.statvfs(small_disk)
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:  # the run writes too
        file.write(bytes(max(0, free.f_bavail * free.f_frsize - room)))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    lines = [line for line in errors.splitlines() if line.startswith("canon: ")]
    assert len(lines) == 1, errors
    assert "Traceback" not in errors, errors
    assert "No space left" in lines[0] or "disk is full" in lines[0]
    assert only_whole_files(small_disk / "study") >= 1
    ballast.unlink()
    (small_disk / "study" / "report.html").unlink(missing_ok=True)
    again = launch_width("long", small_disk / "study", *LONG, "--max_minutes=0.02")
    output, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert "goes on at step" in output


def test_a_workdir_that_is_removed_under_a_run_ends_it_in_one_line(launch_width, tmp_path):
    process = launch_width("long", "study", *LONG)
    wait_for(tmp_path / "study" / "wide" / "seed-0" / "metrics.jsonl")
    time.sleep(0.2)
    (tmp_path / "study").rename(tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "elsewhere", ignore_errors=True)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors, errors
    assert "removed" in errors or "No such file" in errors
    assert not (tmp_path / "study" / "wide" / "seed-0" / "result.json").exists()


@pytest.mark.parametrize("room", [28_000, *(pytest.param(room, marks=pytest.mark.slow) for room in (31_000, 35_000))])
def test_a_full_disk_ends_a_run_that_records_much_and_saves_seldom(launch_width, small_disk, room):
    often = "--config.train.log_every=2", "--config.train.checkpoint_every=3000", "--config.train.watch=gradients"
    process = launch_width("long", small_disk / "study", "--arms=wide", "--config.train.steps=4000", *often)
    wait_for(small_disk / "study" / "wide" / "seed-0" / "metrics.jsonl", '{"step": 100,')
    free = os.statvfs(small_disk)
    with contextlib.suppress(OSError), open(small_disk / "ballast", "wb", buffering=0) as file:
        file.write(bytes(max(0, free.f_bavail * free.f_frsize - room)))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert errors.count("\n") == 1, errors
    assert "No space left on device: " in errors
    assert "no file named" not in errors


def test_a_workdir_that_becomes_read_only_ends_a_run_in_one_line(launch_width, small_disk):
    folder = small_disk / "study"
    process = launch_width("long", folder, *LONG)
    wait_for(folder / "wide" / "seed-0" / "metrics.jsonl", '{"step": 100,')
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        for _ in range(200):  # it is busy for as long as a file in it is being opened for writing
            if not subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], capture_output=True).returncode:
                break
            time.sleep(0.01)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 1, errors
        assert errors.count("\n") == 1, errors
        assert "Read-only file system" in errors or "PERMISSION_DENIED" in errors
        assert only_whole_files(folder) >= 1
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
