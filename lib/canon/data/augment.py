"""Augmentation: pure functions of (key, images), made to run on the device inside the jitted step."""

import jax
from jax import numpy as jnp


def pad_crop(key: jax.Array, images: jax.Array, padding: int) -> jax.Array:
    """Pads every side with zeros and cuts out the old size again, at a place drawn evenly for each image.

    He et al. 2015, section 4.2, with `padding=4`.

    Args:
      key: a PRNG key.
      images: `[batch, height, width, channels]`.
      padding: pixels on each side; 0 is the identity.

    Returns:
      `[batch, height, width, channels]`.
    """
    batch, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    corners = jax.random.randint(key, (batch, 2), 0, 2 * padding + 1)

    def crop(image, corner):
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (height, width, channels))

    return jax.vmap(crop)(padded, corners)


def flip(key: jax.Array, images: jax.Array, probability: float = 0.5) -> jax.Array:
    """Mirrors each image left to right with the given probability: `[batch, height, width, channels]`, likewise out."""
    mirrored = jax.random.bernoulli(key, probability, (images.shape[0], 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1, :], images)
