"""A function under `jax.jit` that one thread compiles while others may want to call it."""

import threading
from collections.abc import Callable
from typing import Any


class Compiled:
    """What JAX has made of a function, to be compiled when it is first called. Whoever calls it while another thread
    does that waits, and does not begin to trace it as well; `wait` does no more than that.

    Args:
      jitted: made by `jax.jit`, or something that calls what was, and that `compile` is not for; nothing has called it.
    """

    def __init__(self, jitted: Callable):
        self._jitted = jitted
        self._compiling = threading.Lock()
        self._is_ready = self._was_called = False

    def __call__(self, *arguments: Any) -> Any:
        if self._was_called:
            return self._jitted(*arguments)
        with self._compiling:
            outcome = self._jitted(*arguments)
            self._is_ready = self._was_called = True
        return outcome

    def compile(self, *examples: Any) -> Any:
        """Compiles it for arguments of these shapes, so that the first call need not; the program, as JAX has it."""
        with self._compiling:
            compiled = self._jitted.lower(*examples).compile()
            self._is_ready = True
        return compiled

    def wait(self) -> None:
        """Returns when no thread compiles it for its first call."""
        if not self._was_called:
            with self._compiling:
                pass

    @property
    def is_ready(self) -> bool:
        """Whether it has been compiled."""
        return self._is_ready

    @property
    def programs(self) -> int:
        """How many have been compiled and called: one for arguments of each shape."""
        return self._jitted._cache_size()
