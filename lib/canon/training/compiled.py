"""A function under `jax.jit` that no two threads compile at the same time."""

import threading
from collections.abc import Callable
from typing import Any


class Compiled:
    """What `jax.jit` has made of a function. JAX lets each thread that meets it uncompiled compile it for itself; here
    the others wait for the first.

    Args:
      jitted: made by `jax.jit`; nothing has called it.
    """

    def __init__(self, jitted: Callable):
        self._jitted = jitted
        self._compiling = threading.Lock()
        self._was_called = False

    def __call__(self, *arguments: Any) -> Any:
        if self._was_called:
            return self._jitted(*arguments)
        with self._compiling:
            outcome = self._jitted(*arguments)
            self._was_called = True
        return outcome

    def compile(self, *examples: Any) -> Any:
        """Compiles it for arguments of these shapes, so that the first call need not; the program, as JAX has it."""
        with self._compiling:
            return self._jitted.lower(*examples).compile()

    @property
    def programs(self) -> int:
        """How many have been compiled and called: one for arguments of each shape."""
        return self._jitted._cache_size()
