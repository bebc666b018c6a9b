"""Weight initializers, by the papers that brought them."""

from flax import linen as nn

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
"""N(0, 2 / fan_in): He et al. 2015, "Delving deep into rectifiers", equation 10.

Flax's own `he_normal` draws from a *truncated* normal distribution; the paper's is not truncated.
"""
