import json
import os
import signal
import subprocess
import sys

import pytest
from tests.processes import wait_for

from canon import lock
from canon.errors import UserError

HOLDER = """
import sys, time
from pathlib import Path
from canon import lock
with lock.held(Path(sys.argv[1])):
    Path(sys.argv[1], "has").write_text("it")
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)])
    wait_for(tmp_path / "has")
    yield process
    process.kill()
    process.wait()


def test_whoever_is_second_is_told_who_is_first(tmp_path, holder):
    with (
        pytest.raises(UserError, match=rf"in use by process {holder.pid} on .*, since 20") as refused,
        lock.held(tmp_path),
    ):
        pass
    assert "give another --workdir" in str(refused.value)


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / lock.FILE).exists()
    with lock.held(tmp_path):
        assert json.loads((tmp_path / lock.FILE).read_text())["process"] == os.getpid()


def test_it_is_let_go_whatever_happens_within(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match="within"), lock.held(tmp_path):
            raise ValueError("within")
    assert not list(tmp_path.iterdir())


def test_the_same_process_has_it_once(tmp_path):
    with lock.held(tmp_path), pytest.raises(UserError, match=f"process {os.getpid()}"), lock.held(tmp_path):
        pass


def test_a_file_of_that_name_with_anything_in_it_locks_nobody_out(tmp_path):
    (tmp_path / lock.FILE).write_text("not JSON, and longer than what is written over it" * 9)
    with lock.held(tmp_path):
        assert json.loads((tmp_path / lock.FILE).read_text())


def test_a_folder_that_is_removed_meanwhile_is_no_trouble(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with lock.held(folder):
        (folder / lock.FILE).unlink()
        folder.rmdir()


def test_where_a_file_system_knows_no_locks_nobody_is_refused(tmp_path, monkeypatch):
    import errno
    import fcntl

    def flock(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    with lock.held(tmp_path), lock.held(tmp_path):
        pass
