"""Metrics as (sum, count), merged exactly: the mean over many batches is the mean over their examples."""

import flax.struct
import jax
import numpy as np
from jax import numpy as jnp


@flax.struct.dataclass
class Mean:
    """A mean that is not divided yet.

    Attributes:
      total: the sum of the values.
      count: how many there were.
    """

    total: jax.Array
    count: jax.Array

    @classmethod
    def of(cls, values: jax.typing.ArrayLike, mask: jax.Array | None = None) -> "Mean":
        """Of `values` (any shape); where `mask` (the same shape) is 0 a value does not count."""
        values = jnp.asarray(values)
        if mask is None:
            return cls(values.sum(), jnp.asarray(values.size, jnp.float32))
        # Not a product: padding may hold anything, and 0 · nan is nan.
        return cls(jnp.where(mask > 0, values, 0).sum(), (mask > 0).sum().astype(jnp.float32))

    def merge(self, other: "Mean") -> "Mean":
        return Mean(self.total + other.total, self.count + other.count)

    def compute(self) -> jax.Array:
        return self.total / self.count


Metrics = dict[str, Mean]


def means(metrics: list[Metrics], prefix: str = "") -> dict[str, float]:
    """The exact mean of each metric over all the batches, fetched from the device at once and summed in float64."""
    fetched = jax.device_get(metrics)
    return {
        prefix + name: float(
            np.sum([m[name].total for m in fetched], dtype=np.float64)
            / np.sum([m[name].count for m in fetched], dtype=np.float64)
        )
        for name in fetched[0]
    }


def classification_error(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """1 where the largest logit is not the label's, or any logit is not finite; else 0: `[batch]` float32.

    A network that has diverged predicts nothing: by this its error is 1, whatever an argmax over NaN returns. Labels
    are integers `[batch]`, or probabilities `[batch, num_classes]`: then it is the probability that the class with the
    largest logit is not the one.
    """
    chosen = logits.argmax(axis=-1)
    if labels.ndim == logits.ndim:
        right = jnp.take_along_axis(labels, chosen[..., None], axis=-1)[..., 0].astype(jnp.float32)
    else:
        right = (chosen == labels).astype(jnp.float32)
    return 1.0 - jnp.where(jnp.isfinite(logits).all(axis=-1), right, 0.0)
