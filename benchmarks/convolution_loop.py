"""Convolutions in a loop: the gradient of eight layers, written out and under `lax.scan`.

    python -m benchmarks.convolution_loop

Each layer is a 3×3 convolution and a tanh, of 64 images. `as papers write it` is `lax.conv_general_dilated` with the
gradient that JAX derives, `as canon does` is `canon.layers.quick_convolution`. It prints milliseconds for a layer
(medians of turns that alternate) and the seconds to compile all eight.
"""

import argparse
import statistics
import time

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from benchmarks.one_line import OneLine
from canon import huge_pages
from canon.commands import runtime
from canon.compile_options import compile_options
from canon.layers.quick_convolution import convolve

LAYERS, IMAGES, TURNS = 8, 64, 10
SIZES = ((16, 32), (16, 8), (32, 4), (64, 2))  # channels, and pixels each way

FORMS = {"as papers write it": lax.conv_general_dilated, "as canon does": convolve}


def gradient(convolution, is_loop: bool):
    """Of the sum of all layers' result, with respect to images and kernels."""

    def layer(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, None]:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jnp.tanh(convolution(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=numbers)), None

    def network(x: jax.Array, kernels: jax.Array) -> jax.Array:
        if is_loop:
            return lax.scan(layer, x, kernels)[0].sum()
        for kernel in kernels:
            x, _ = layer(x, kernel)
        return x.sum()

    return jax.jit(jax.grad(network, (0, 1)), compiler_options=compile_options(jax.default_backend()))


def main() -> None:
    """Prints the table."""
    OneLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    runtime.keep_freed_memory()
    random = np.random.default_rng(0)
    for channels, pixels in SIZES:
        x = jnp.asarray(random.normal(size=(IMAGES, pixels, pixels, channels)), jnp.float32)
        kernels = jnp.asarray(random.normal(size=(LAYERS, 3, 3, channels, channels)) / 10, jnp.float32)
        compiled, compiling, times = {}, {}, {}
        for name, form in FORMS.items():
            for is_loop in (False, True):
                began = time.perf_counter()
                compiled[name, is_loop] = gradient(form, is_loop).lower(x, kernels).compile()
                compiling[name, is_loop] = time.perf_counter() - began
                times[name, is_loop] = []
        for _ in range(TURNS):
            for key, function in compiled.items():
                began = time.perf_counter()
                jax.block_until_ready(function(x, kernels))
                times[key].append((time.perf_counter() - began) / LAYERS)
        for key in compiled:
            what = f"{pixels}×{pixels}, {channels} channels, {key[0]}, {'in a loop' if key[1] else 'written out'}"
            print(f"{what:60} {statistics.median(times[key]) * 1e3:8.2f} ms   {compiling[key]:5.2f} s", flush=True)


if __name__ == "__main__":
    huge_pages.restart()
    main()
