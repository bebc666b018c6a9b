"""A roll call: processes that are to train together find out whether all of them are there, and who is missing.

The first one listens; each of the others says who it is, and waits for the answer. The connections stay open while they
train, so that each notices at once where the other end has died. What comes in from the network is a line of two
numbers, or one word, and nothing else is read.
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable

from canon.errors import UserError

_GO, _BYE = "go", "bye"
_LONGEST = 32  # bytes of a line from a stranger
_LONGEST_ANSWER = 400


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

    def watch(self, lost: Callable[[int], None]) -> None:
        """Has `lost` called, in a thread, with the number of a process that ends without a word."""
        threading.Thread(target=self._watch, args=(lost,), daemon=True, name="roll call").start()

    def leave(self) -> None:
        """Says that this process ends, and that all is well."""
        for connection in self._connections.values():
            _say(connection, _BYE)

    def close(self) -> None:
        """Ends without a word, as a process does that dies."""
        for connection in self._connections.values():
            connection.close()

    def _watch(self, lost: Callable[[int], None]) -> None:
        at_the_end = {connection: process for process, connection in self._connections.items()}
        while at_the_end:
            for connection in select.select(list(at_the_end), [], [])[0]:
                process = at_the_end.pop(connection)
                if _read_line(connection, _LONGEST) != _BYE:
                    lost(process)


def hold(address: str, process_id: int, num_processes: int, timeout: float) -> Lines:
    """Returns in every process once all have come.

    Args:
      address: HOST:PORT at which process 0 listens; it is free again afterwards.
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


def _listen(where: tuple[str, int], address: str, num_processes: int, deadline: float) -> dict[int, socket.socket]:
    try:
        family = socket.getaddrinfo(*where, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server(where, family=family, backlog=num_processes)
    except OSError as error:
        raise UserError(f"process 0 cannot listen at --coordinator={address}: {error.strerror or error}") from error
    present: dict[int, socket.socket] = {}
    with listener:
        while len(present) < num_processes - 1 and (left := deadline - time.monotonic()) > 0:
            listener.settimeout(left)
            try:
                caller, _ = listener.accept()
            except TimeoutError:
                break
            its_id, its_number = _read_numbers(caller, min(left, 5.0))
            objection = _objection(its_id, its_number, num_processes, present)
            if its_id is not None and not objection:
                present[its_id] = caller
                continue
            _say(caller, objection)
            caller.close()
    if missing := sorted(set(range(1, num_processes)) - set(present)):
        verdict = (
            f"{'process' if len(missing) == 1 else 'processes'} {', '.join(map(str, missing))} of {num_processes} did "
            f"not come to {address} in time; start every one with the same --coordinator and --num_processes"
        )
        _dismiss(present.values(), verdict)
        raise UserError(verdict)
    for caller in present.values():
        _say(caller, _GO)
    return present


def _dismiss(callers: Iterable[socket.socket], verdict: str) -> None:
    for caller in callers:
        _say(caller, verdict)
        caller.close()


def _objection(its_id: int | None, its_number: int | None, num_processes: int, present: dict) -> str:
    if its_id is None:
        return ""  # a stranger, who gets no answer
    if its_number != num_processes:
        return f"process 0 expects {num_processes} processes, and process {its_id} expects {its_number}"
    if not 0 < its_id < num_processes or its_id in present:
        return f"there are two processes with --process_id={its_id}"
    return ""


def _answer(
    where: tuple[str, int], address: str, process_id: int, num_processes: int, deadline: float
) -> socket.socket:
    while (left := deadline - time.monotonic()) > 0:
        said = ""
        with contextlib.suppress(OSError):  # nobody is there yet
            caller = socket.create_connection(where, timeout=min(left, 5.0))
            _say(caller, f"{process_id} {num_processes}")
            caller.settimeout(left + 5.0)
            said = _read_line(caller, _LONGEST_ANSWER)
            if said == _GO:
                return caller
            caller.close()
        if said:
            raise UserError(said)
        time.sleep(min(0.2, left))
    raise UserError(f"process 0 does not answer at --coordinator={address}; is it running, and is this its address?")


def _keep_alive(connection: socket.socket) -> None:
    """Notices within half a minute where the other host has gone without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _say(caller: socket.socket, text: str) -> None:
    with contextlib.suppress(OSError):  # it has gone, which is noticed elsewhere
        caller.sendall(f"{text}\n".encode())


def _read_numbers(caller: socket.socket, timeout: float) -> tuple[int | None, int | None]:
    caller.settimeout(timeout)
    words = _read_line(caller, _LONGEST).split()
    if len(words) != 2 or not all(word.isascii() and word.isdigit() for word in words):
        return None, None
    return int(words[0]), int(words[1])


def _read_line(caller: socket.socket, longest: int) -> str:
    line = b""
    with contextlib.suppress(OSError):
        while not line.endswith(b"\n") and len(line) < longest:
            if not (more := caller.recv(1)):
                break
            line += more
    return line.decode("ascii", "replace").strip() if line.endswith(b"\n") else ""
