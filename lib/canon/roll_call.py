"""A roll call: processes that are to train together find out whether all of them are there, and who is missing.

The first one listens; each of the others says who it is, and waits for the answer. The connections stay open while they
train, so that each notices at once where the other end has died. From the network come short lines of printable ASCII,
each with a prefix; nothing else is listened to.
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable

from canon.errors import UserError

_PREFIX = "canon "
_GO, _BYE = "go", "bye"
_LONGEST = 500  # bytes of a line
_PATIENCE = 5.0  # seconds for a caller to say who it is


class Lines:
    """The open connections of a process: of the first one to each of the others, of the others to the first.

    Args:
      connections: by the number of the process at the other end.
    """

    def __init__(self, connections: dict[int, socket.socket]):
        self._connections = connections
        for connection in connections.values():
            connection.settimeout(None)
            _keep_alive(connection)

    def watch(self, lost: Callable[[int, str], None]) -> None:
        """Has `lost` called, in a thread, where another process ends: with its number, and its reason or nothing."""
        threading.Thread(target=self._watch, args=(lost,), daemon=True, name="roll call").start()

    def leave(self, reason: str = "") -> None:
        """Says that this process ends: because all is done, or for a reason."""
        for connection in self._connections.values():
            _say(connection, reason or _BYE)

    def close(self) -> None:
        """Ends without a word, as a process does that dies."""
        for connection in self._connections.values():
            connection.close()

    def _watch(self, lost: Callable[[int, str], None]) -> None:
        at_the_end = {connection: process for process, connection in self._connections.items()}
        while at_the_end:
            for connection in select.select(list(at_the_end), [], [])[0]:
                process = at_the_end.pop(connection)
                said = _read_line(connection)
                if said != _BYE:
                    lost(process, said)


def hold(address: str, process_id: int, num_processes: int, timeout: float) -> Lines:
    """Returns in every process once all have come.

    Args:
      address: HOST:PORT at which the others find process 0, which listens at that port; it is free again afterwards.
      process_id: of this process.
      num_processes: how many are expected.
      timeout: seconds to wait for all of them.

    Raises:
      UserError: some did not come in time, or do not fit; the message names them.
    """
    deadline = time.monotonic() + timeout
    host, _, port = address.rpartition(":")
    where = host.strip("[]"), int(port)
    if process_id == 0:
        return Lines(_listen(where, address, num_processes, deadline))
    return Lines({0: _answer(where, address, process_id, num_processes, deadline)})


def is_loopback(host: str) -> bool:
    """Whether a host is this one, seen from itself alone."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _listen(where: tuple[str, int], address: str, num_processes: int, deadline: float) -> dict[int, socket.socket]:
    host, port = where
    try:
        if is_loopback(host):
            family = socket.getaddrinfo(*where, type=socket.SOCK_STREAM)[0][0]
            listener = socket.create_server(where, family=family)
        elif socket.has_dualstack_ipv6():  # a host's own name often is its loopback address to itself
            listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            listener = socket.create_server(("", port))
    except OSError as error:
        raise UserError(f"process 0 cannot listen at --coordinator={address}: {error.strerror or error}") from error
    present: dict[int, socket.socket] = {}
    callers: dict[socket.socket, tuple[bytes, float]] = {}  # what each has said so far, and until when it may
    expected = set(range(1, num_processes))
    try:
        with listener:
            while (left := deadline - time.monotonic()) > 0:
                for gone in [i for i, caller in present.items() if _has_gone(caller)]:
                    present.pop(gone).close()
                if present.keys() == expected:
                    break
                for ready in select.select([listener, *callers], [], [], min(left, 0.2))[0]:
                    if ready is listener:
                        caller = listener.accept()[0]
                        callers[caller] = b"", time.monotonic() + _PATIENCE
                        continue
                    said = callers[ready][0] + _receive(ready)
                    if said == callers[ready][0] or said.endswith(b"\n") or len(said) > _LONGEST:
                        del callers[ready]
                        _admit(ready, _understood(said), num_processes, present)
                    else:
                        callers[ready] = said, callers[ready][1]
                for caller in [caller for caller, (_, until) in callers.items() if until < time.monotonic()]:
                    del callers[caller]
                    caller.close()
    finally:
        for caller in callers:
            caller.close()
    if missing := sorted(expected - present.keys()):
        verdict = (
            f"{'process' if len(missing) == 1 else 'processes'} {', '.join(map(str, missing))} of {num_processes} did "
            f"not come to {address} in time; start every one with the same --coordinator and --num_processes"
        )
        for caller in present.values():
            _dismiss(caller, verdict)
        raise UserError(verdict)
    for caller in present.values():
        _say(caller, _GO)
    return present


def _admit(caller: socket.socket, said: str, num_processes: int, present: dict[int, socket.socket]) -> None:
    """Takes a caller in among those that are present, or dismisses it."""
    words = said.split()
    if len(words) != 2 or not all(word.isdigit() and len(word) < 10 for word in words):
        caller.close()  # a stranger, who gets no answer
        return
    its_id, its_number = map(int, words)
    if its_number != num_processes:
        _dismiss(caller, f"process 0 expects {num_processes} processes, and process {its_id} expects {its_number}")
    elif not 0 < its_id < num_processes or its_id in present:
        _dismiss(caller, f"there are two processes with --process_id={its_id}")
    else:
        present[its_id] = caller


def _answer(
    where: tuple[str, int], address: str, process_id: int, num_processes: int, deadline: float
) -> socket.socket:
    while (left := deadline - time.monotonic()) > 0:
        said = ""
        with contextlib.suppress(OSError):  # nobody is there yet
            caller = socket.create_connection(where, timeout=min(left, 5.0))
            _say(caller, f"{process_id} {num_processes}")
            caller.settimeout(left + _PATIENCE)
            said = _read_line(caller)
            if said == _GO:
                return caller
            caller.close()
        if said:
            raise UserError(said)
        time.sleep(min(0.2, left))
    raise UserError(f"process 0 does not answer at --coordinator={address}; is it running, and is this its address?")


def _has_gone(caller: socket.socket) -> bool:
    """Whether the other end has closed the connection while it waited."""
    caller.setblocking(False)
    try:
        return caller.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        caller.settimeout(None)


def _dismiss(caller: socket.socket, verdict: str) -> None:
    _say(caller, verdict)
    caller.close()


def _keep_alive(connection: socket.socket) -> None:
    """Notices within half a minute where the other host has gone without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _say(caller: socket.socket, text: str) -> None:
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    line = (_PREFIX + text).encode("ascii", "replace")[: _LONGEST - 1] + b"\n"
    with contextlib.suppress(OSError):  # it has gone, which is noticed elsewhere
        caller.sendall(line)


def _receive(caller: socket.socket) -> bytes:
    try:
        return caller.recv(_LONGEST)
    except OSError:
        return b""


def _read_line(caller: socket.socket) -> str:
    line = b""
    while not line.endswith(b"\n") and len(line) < _LONGEST:
        if not (more := _byte(caller)):
            break
        line += more
    return _understood(line)


def _byte(caller: socket.socket) -> bytes:
    """One byte, so that nothing of the next line is taken; empty at the end."""
    try:
        return caller.recv(1)
    except OSError:
        return b""


def _understood(line: bytes) -> str:
    """What a line says; nothing where it is no whole line of this protocol."""
    text = line.decode("ascii", "replace")
    is_ours = text.startswith(_PREFIX) and text.endswith("\n") and text[:-1].isascii() and text[:-1].isprintable()
    return text.removeprefix(_PREFIX).strip() if is_ours else ""
