"""What every command that computes does first."""

import os
from pathlib import Path

import jax
from absl import logging


def start() -> None:
    """Turns on the persistent compilation cache, and turns off what libraries say to their own developers.

    The cache stands in `JAX_COMPILATION_CACHE_DIR`, or else in `~/.cache/canon/jax` (`XDG_CACHE_HOME` counts): a second
    launch finds its programs there.
    """
    logging.set_verbosity(logging.ERROR)
    if not jax.config.jax_compilation_cache_dir:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "canon" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # small programs too: there are many
