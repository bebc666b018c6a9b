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
    """The exact mean of each metric over all the batches, fetched together and summed in float64."""
    names = list(metrics[0])
    halves = [half for name in names for of_batch in metrics for half in (of_batch[name].total, of_batch[name].count)]
    sums = np.array(fetch(halves), np.float64).reshape(len(names), len(metrics), 2).sum(axis=1)
    return {prefix + name: float(total / count) for name, (total, count) in zip(names, sums, strict=True)}


def fetch(scalars: list[jax.Array | np.generic]) -> list[np.ndarray]:
    """They, from the device; waits until they are there."""
    if jax.default_backend() == "cpu":  # seen where they lie: JAX takes ten times as long to copy each
        return [np.asarray(scalar) for scalar in scalars]
    return jax.device_get(scalars)


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
