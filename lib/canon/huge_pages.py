"""Large blocks of memory in huge pages; the C library must be told of it before a program begins.

On a CPU a compiled program takes the memory of all that it computes on the way as one block, at every call. A large
one (see `canon.commands.runtime` for the others) glibc gets from the kernel and gives back, and the kernel clears it
page by page: 59,000 times in a step of ResNet-20, a fifth of its time, and with pages of 2 MiB some 500 times (AMD
EPYC, 2026-11-26). What a launch starts, jobs of a cluster too where they get its environment, uses them as well.
"""

import itertools
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
TUNABLE = "glibc.malloc.hugetlb"
RESTARTED = "huge_pages"
"""An option -X of Python, so that a program that is denied the variable does not begin for ever."""

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def environment(current: Mapping[str, str]) -> dict[str, str]:
    """`current`, and what has a program that is started with it use huge pages.

    Nothing is added where somebody has chosen already, where the kernel gives them to every program or to none, and
    where the C library is another or too old to ask for them.
    """
    tunables = current.get(VARIABLE, "")
    if TUNABLE in tunables or not (_kernel_wants_to_be_asked() and _glibc_can_ask()):
        return dict(current)
    return {**current, VARIABLE: ":".join(filter(None, [tunables, f"{TUNABLE}=1"]))}


def restart() -> None:
    """Begins this Python program again, in the same process, where that is what huge pages take.

    To be called first of all: nothing that was done before is left. Under a debugger, or whatever else it is that runs
    the program, all stays as it is.
    """
    wanted = environment(os.environ)
    needs = wanted != dict(os.environ) and RESTARTED not in sys._xoptions
    if needs and sys.executable and _is_what_python_was_started_with():
        try:
            os.execve(sys.executable, [sys.executable, f"-X{RESTARTED}", *sys.orig_argv[1:]], wanted)
        except OSError:
            return  # it goes on as it is


def _is_what_python_was_started_with() -> bool:
    """Whether the main module is what Python's own command line names, behind options without values."""
    options = itertools.takewhile(lambda a: a.startswith("-") and a[:2] not in ("-c", "-m"), sys.orig_argv[1:])
    rest = sys.orig_argv[1 + len(list(options)) :]
    spec = sys.modules["__main__"].__spec__
    return rest == (["-m", spec.name, *sys.argv[1:]] if spec else sys.argv)


def _kernel_wants_to_be_asked() -> bool:
    try:
        return "[madvise]" in ENABLED.read_text()
    except OSError:
        return False


def _glibc_can_ask() -> bool:
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):  # not Unix, or not glibc
        return False
    found = re.fullmatch(r"glibc (\d+)\.(\d+).*", version)
    return found is not None and tuple(map(int, found.groups())) >= (2, 35)
