"""One process at a time in a folder: whoever is second is told who is first."""

import contextlib
import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from canon import files
from canon.errors import UserError

FILE = "lock"

_UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """While it is entered, no other process that asks has the folder, which must exist.

    The operating system holds the lock, and lets go of it when the process ends, however it ends: the file of a dead
    process locks nobody out. It says on which host and in which process the lock is held, for those that are refused.

    Raises:
      UserError: another process has the folder.
    """
    if sys.platform == "win32":  # it has no flock, and nobody has asked for it
        yield
        return
    path = folder / FILE
    descriptor = _open(path)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(_me()).encode())
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone, or not ours to write any more
            if files.is_still(path, os.fstat(descriptor)):
                path.unlink()
        os.close(descriptor)


def _open(path: Path) -> int:
    """The file, locked; of the many that a name may have had, the one that has it now."""
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 1000)
            os.close(descriptor)
            raise UserError(_refusal(path, holder)) from error
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                os.close(descriptor)
                raise
            return descriptor  # a file system that knows no locks; then nobody is refused
        if files.is_still(path, os.fstat(descriptor)):
            return descriptor
        os.close(descriptor)  # its holder removed it as it left


def _me() -> dict[str, str | int]:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"host": socket.gethostname(), "process": os.getpid(), "since": since}


def _refusal(path: Path, holder: bytes) -> str:
    try:
        found = json.loads(holder)
        who = f"process {found['process']} on {found['host']}, since {found['since']}"
    except (ValueError, KeyError, TypeError):  # it is writing it
        who = "another process"
    return f"{path.parent} is in use by {who}; wait for it, end it, or give another --workdir"
