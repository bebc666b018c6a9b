"""A roll call over loopback, of threads that stand for processes."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from canon import roll_call
from canon.errors import UserError


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


def test_an_address_that_is_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=f"process 0 cannot listen at --coordinator={address}"):
            roll_call.hold(address, 0, 2, 1.0)


def test_one_that_died_while_it_waited_can_come_again(address, hold_all):
    host, port = address.split(":")

    def die_and_come_again():
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0) as first:
                first.sendall(b"canon 1 3\n")
                time.sleep(0.5)
                break
            time.sleep(0.02)

    thread = threading.Thread(target=die_and_come_again)
    thread.start()
    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(lambda: (thread.join(), time.sleep(0.3), hold_all([(1, 3), (2, 3)]))[-1])
        (first,) = hold_all([(0, 3)])
        assert all(isinstance(lines, roll_call.Lines) for lines in [first, *others.result()])


def test_silent_strangers_do_not_keep_the_others_out(address, hold_all):
    host, port = address.split(":")
    strangers = []

    def come():
        while len(strangers) < 5:
            with contextlib.suppress(OSError):
                strangers.append(socket.create_connection((host, int(port)), timeout=1.0))
            time.sleep(0.01)

    thread = threading.Thread(target=come)
    thread.start()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: (thread.join(), hold_all([(1, 2)], timeout=3.0))[-1])
        found = [*hold_all([(0, 2)], timeout=3.0), *other.result()]
    for stranger in strangers:
        stranger.close()
    assert all(isinstance(lines, roll_call.Lines) for lines in found)


@pytest.mark.parametrize("said", [b"SSH-2.0-\x1b]0;owned\x07\r\n", b"canon \x1b[31mred\n", b"go\n"])
def test_what_another_service_says_is_not_repeated(said):
    with socket.create_server(("127.0.0.1", 0)) as service:
        address = f"127.0.0.1:{service.getsockname()[1]}"

        def answer():
            service.settimeout(1.0)
            with contextlib.suppress(OSError):
                while True:
                    with service.accept()[0] as caller:
                        caller.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UserError, match="process 0 does not answer"):
            roll_call.hold(address, 1, 2, 0.8)
        thread.join()


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
@pytest.mark.parametrize("says_so", ["", "2 it was mistaken", None])
def test_who_ends_for_a_reason_or_without_a_word_is_missed(hold_all, leaver, says_so):
    lines = hold_all([(0, 2), (1, 2)])
    missed, heard = [], threading.Event()
    lines[1 - leaver].watch(lambda process, said: (missed.append((process, said)), heard.set()))
    if says_so is not None:
        lines[leaver].leave(says_so)
    lines[leaver].close()
    heard.wait(0.3 if says_so == "" else 10.0)
    assert missed == ([] if says_so == "" else [(leaver, says_so or "")])
