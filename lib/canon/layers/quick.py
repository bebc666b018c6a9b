"""Where layers take the forms that a CPU computes quickly, and not those that papers write.

Both give the same numbers up to rounding; see `canon.layers.quick_convolution`, `batch_moments`, `batch_sums`,
`materialized` and `max_pool`.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_IS_OFF: contextvars.ContextVar[bool] = contextvars.ContextVar("layers as papers write them", default=False)


def is_on() -> bool:
    """Whether the default backend is a CPU, and nobody has turned it off."""
    return jax.default_backend() == "cpu" and not _IS_OFF.get()


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Within, layers that are traced are as papers write them: to count what they compute, or to compare.

    JAX keeps the traces of a function: give it one that it has not traced before, a new `lambda` at the least.
    """
    before = _IS_OFF.set(True)
    try:
        yield
    finally:
        _IS_OFF.reset(before)
