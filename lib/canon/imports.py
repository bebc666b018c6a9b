"""Importing libraries without what they would load besides."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without(name: str) -> Iterator[None]:
    """Within, a module seems not to be installed, unless it has been imported already.

    For a library that takes another where it is there, and does without it where it is not.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # as Python's import system has it
    try:
        yield
    finally:
        sys.modules.pop(name, None)
