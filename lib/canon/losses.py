"""Loss functions, per example."""

import jax
import optax


def softmax_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """−log softmax(logits)[label], in nats: `[batch, num_classes], [batch] -> [batch]`.

    Args:
      logits: unnormalised log-probabilities.
      labels: integers from 0 to num_classes − 1.
    """
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
