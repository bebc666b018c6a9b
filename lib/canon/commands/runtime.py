"""What commands do before their work: quiet the libraries, keep compiled programs, and keep memory."""

import ctypes
import logging
import os
import sys
from pathlib import Path

from absl import logging as absl_logging

from canon import unraisable


def quiet() -> None:
    """Turns off what libraries say to their own developers."""
    absl_logging.set_verbosity(absl_logging.FATAL)  # Orbax logs as errors what it also raises
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # every retry of a download
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of what Orbax gives up, which it raises too
    unraisable.drop_closed_loops()


def keep_freed_memory() -> None:
    """Has the C library keep what a program has freed, for its next call; only glibc is told, others need no telling.

    On a CPU a compiled program takes the memory of all that it computes on the way as one block, at every call. One of
    32 MiB or more glibc would get from the kernel and give back, and the kernel clears each of its pages again: of a
    step of two LSTM layers of 128 units that was a fifth (48 ms before, 38 after: medians of eight, two cores of an
    Intel Xeon, 2026-11-25). Blocks above 64 MiB fit in no heap of a worker thread; for them there are huge pages, see
    `canon.huge_pages`. One heap for all threads would keep them too, at up to twice the memory.
    """
    mmap_threshold, trim_threshold, most = -3, -1, 2**31 - 1  # <malloc.h>
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "gnu_get_libc_version"):
        # Older ones take no more than 32 MiB; with the second alone they would get every block from the kernel.
        if libc.mallopt(mmap_threshold, most) or libc.mallopt(mmap_threshold, 2**25):
            libc.mallopt(trim_threshold, most)


def start() -> None:
    """For every command that computes: quiets the libraries, keeps memory, and turns on the compilation cache.

    The cache stands in `JAX_COMPILATION_CACHE_DIR`, or else in `~/.cache/canon/jax` (`XDG_CACHE_HOME` counts): a second
    launch finds its programs there.
    """
    import jax

    quiet()
    keep_freed_memory()
    if not jax.config.jax_compilation_cache_dir:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "canon" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # small programs too: there are many
