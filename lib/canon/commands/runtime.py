"""What commands do before their work: quiet the libraries, and keep compiled programs."""

import logging
import os
from pathlib import Path

from absl import logging as absl_logging


def quiet() -> None:
    """Turns off what libraries say to their own developers."""
    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # every retry of a download


def start() -> None:
    """For every command that computes: quiets the libraries and turns on the persistent compilation cache.

    The cache stands in `JAX_COMPILATION_CACHE_DIR`, or else in `~/.cache/canon/jax` (`XDG_CACHE_HOME` counts): a second
    launch finds its programs there.
    """
    import jax

    quiet()
    if not jax.config.jax_compilation_cache_dir:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "canon" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # small programs too: there are many
