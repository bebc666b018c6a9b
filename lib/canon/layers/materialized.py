"""Results that are computed once and kept, where XLA would compute them again for each of their uses."""

from jax import lax

from canon.layers import quick


def materialized(x):
    """`x`, any pytree of arrays, and its gradient, each computed once on a CPU; elsewhere nothing is asked for.

    XLA's CPU backend merges a chain of elementwise operations into each operation that reads its result. In a residual
    network that makes every block's shortcut recompute all the blocks before it, and puts the chain into the transposed
    copies that the gradients of convolutions take, where it runs at a tenth of its speed. The value is the same.

    It holds in programs compiled with `canon.compile_options`; in others XLA drops the request before it matters.
    """
    return lax.optimization_barrier(x) if quick.is_on() else x
