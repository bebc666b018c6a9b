"""The one exception for what a user can mend."""

import difflib
from collections.abc import Callable, Iterable


class UserError(ValueError):
    """Something the caller can put right: the message says what, where and what to do, in one line.

    `launch.py` prints it on standard error and exits with status 2; in other code it is a `ValueError`.
    """


def did_you_mean(word: str, known: Iterable[str], shown: Callable[[str], str] = str) -> str:
    """The words `; did you mean X?` for the known word nearest to `word`, as `shown`; nothing where none is near."""
    known = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(word.lower(), known, n=1)
    return f"; did you mean {shown(known[nearest[0]])}?" if nearest else ""


def outcome(error: BaseException) -> tuple[int, str] | None:
    """The exit status and the line for an error that a user can do something about; None for any other."""
    if isinstance(error, UserError):
        return 2, " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        return 130, "stopped at once; what was saved before is kept"
    if isinstance(error, MemoryError):
        return 1, f"the memory of this host does not hold it ({' '.join(str(error).split()) or 'no more is known'})"
    if isinstance(error, OSError):  # a full disk, a folder that is gone
        return 1, f"{error.strerror or error}: {error.filename or 'no file named'}"
    return None
