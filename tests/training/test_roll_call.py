"""A roll call over loopback, of threads that stand for processes."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from canon.errors import UserError
from canon.training import roll_call


@pytest.fixture
def address():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def hold_all(address):
    """(calls, timeout) -> what they came to; see `_hold_all`."""
    held = []

    def hold(calls, timeout=20.0):
        found = _hold_all(address, calls, timeout)
        held.extend(lines for lines in found if isinstance(lines, roll_call.Lines))
        return found

    yield hold
    for lines in held:
        lines.close()


def _hold_all(address, calls, timeout):
    """What each of the calls (process_id, num_processes) came to: lines, or what it was told."""

    def hold(call):
        try:
            return roll_call.hold(address, *call, timeout)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(hold, calls))


def test_all_go_when_all_have_come_and_the_address_is_free_again(address, hold_all):
    found = hold_all([(2, 3), (1, 3), (0, 3)])
    assert all(isinstance(lines, roll_call.Lines) for lines in found)
    host, port = address.split(":")
    socket.create_server((host, int(port))).close()


def test_all_are_told_who_is_missing(address, hold_all):
    found = hold_all([(0, 5), (1, 5), (3, 5)], timeout=1.5)
    assert found == [found[0]] * 3
    assert found[0].startswith(f"processes 2, 4 of 5 did not come to {address} in time")


def test_without_the_first_the_others_say_so(address, hold_all):
    (told,) = hold_all([(1, 2)], timeout=0.5)
    assert f"process 0 does not answer at --coordinator={address}" in told


def test_two_with_one_number_and_another_count_are_refused(hold_all):
    found = hold_all([(0, 2), (1, 3)], timeout=3.0)
    assert found[1] == "process 0 expects 2 processes, and process 1 expects 3"
    found = hold_all([(0, 3), (1, 3), (1, 3)], timeout=1.5)
    assert "there are two processes with --process_id=1" in found


def test_an_address_of_another_host_is_refused():
    with pytest.raises(UserError, match="process 0 cannot listen at --coordinator=192.0.2.1:1234"):
        roll_call.hold("192.0.2.1:1234", 0, 2, 1.0)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n", b"1 2", b"x" * 10_000, b"\xff\xfe\n", b"-1 2\n"])
def test_a_stranger_is_not_counted(address, hold_all, said):
    host, port = address.split(":")
    began = threading.Event()

    def stranger():
        for _ in range(100):
            try:
                with socket.create_connection((host, int(port)), timeout=1.0) as connection:
                    connection.sendall(said)
                    connection.shutdown(socket.SHUT_WR)
                    began.set()
                    return
            except OSError:
                began.wait(0.02)

    thread = threading.Thread(target=stranger)
    thread.start()
    (told,) = hold_all([(0, 2)], timeout=1.5)
    thread.join()
    assert began.is_set()
    assert told.startswith("process 1 of 2 did not come")


@pytest.mark.parametrize("leaver", [0, 1])
@pytest.mark.parametrize("says_so", [True, False])
def test_who_ends_without_a_word_is_missed(hold_all, leaver, says_so):
    lines = hold_all([(0, 2), (1, 2)])
    missed, heard = [], threading.Event()
    lines[1 - leaver].watch(lambda process: (missed.append(process), heard.set()))
    if says_so:
        lines[leaver].leave()
    lines[leaver].close()
    heard.wait(0.3 if says_so else 10.0)
    assert missed == ([] if says_so else [leaver])
