"""Where layers take the forms that a CPU computes quickly, and not those that papers write.

Both give the same numbers up to rounding; see `canon.layers.quick_convolution`, `batch_moments`, `batch_sums`,
`materialized` and `max_pool`.
"""

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from pathlib import Path

import jax

CPUINFO = Path("/proc/cpuinfo")
"""In which Linux says what the processor can do."""

_IS_OFF: contextvars.ContextVar[bool] = contextvars.ContextVar("layers as papers write them", default=False)


def is_on() -> bool:
    """Whether the default backend is a CPU, and nobody has turned it off."""
    return jax.default_backend() == "cpu" and not _IS_OFF.get()


@functools.cache
def has_wide_vectors() -> bool:
    """Whether the processor computes 16 numbers of float32 at once (AVX-512), as far as Linux says.

    What multiplies matrices then has kernels of other shapes, and is quick at other things.
    """
    return CPUINFO.exists() and "avx512f" in CPUINFO.read_text().split()


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
