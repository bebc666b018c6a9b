"""Augmentation: pure functions of (key, images), made to run on the device inside the jitted step.

Images are `[batch, height, width, channels]`, and so is what comes back, with the same dtype; each image draws for
itself. Where a function speaks of brightness, values go from 0 to 1 (they may leave that range: nothing is cut off). A
strength or probability of 0 is the identity.

Resampling is `jax.scipy.ndimage`'s. dm-pix was weighed: its affine transformation interpolates between channels too,
and what it has of colours is a line each here.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax import numpy as jnp
from jax.scipy.ndimage import map_coordinates


def pad_crop(key: jax.Array, images: jax.Array, padding: int) -> jax.Array:
    """Pads every side with zeros and cuts out the old size again, at a place drawn evenly for each image.

    He et al. 2015, section 4.2, with `padding=4`.

    Args:
      key: a PRNG key.
      images: `[batch, height, width, channels]`.
      padding: pixels on each side; 0 is the identity.
    """
    batch, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    corners = jax.random.randint(key, (batch, 2), 0, 2 * padding + 1)

    def crop(image, corner):
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (height, width, channels))

    return jax.vmap(crop)(padded, corners)


def flip(key: jax.Array, images: jax.Array, probability: float = 0.5) -> jax.Array:
    """Mirrors each image left to right with the given probability."""
    mirrored = jax.random.bernoulli(key, probability, (images.shape[0], 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1, :], images)


def affine(
    key: jax.Array,
    images: jax.Array,
    rotation: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    translation: float = 0.0,
) -> jax.Array:
    """Distorts each image by a random affine map about its centre, in one bilinear resampling; what comes in is 0.

    The distortions of LeCun et al. 1998 (section III.A): translation, scaling, squeezing and shearing. Each number is
    the largest amount, and the amount is drawn evenly up to it, either way.

    Args:
      key: a PRNG key.
      images: `[batch, height, width, channels]`, floating-point.
      rotation: in degrees.
      scale: of each axis for itself: from 1 − scale to 1 + scale; below 1.
      shear: how far a row moves for each row above it, in pixels.
      translation: in pixels, along each axis.
    """
    batch = images.shape[0]
    draws = jax.random.uniform(key, (6, batch), minval=-1.0)
    angle = jnp.deg2rad(rotation) * draws[0]
    cos, sin, one, zero = jnp.cos(angle), jnp.sin(angle), jnp.ones(batch), jnp.zeros(batch)
    turn = _matrices([[cos, -sin], [sin, cos]])
    slant = _matrices([[one, zero], [shear * draws[1], one]])
    # From where a pixel goes to where its colour comes from: what grows is read more slowly.
    grow = _matrices([[1 / (1 + scale * draws[2]), zero], [zero, 1 / (1 + scale * draws[3])]])
    matrix = jnp.matmul(jnp.matmul(turn, slant, precision="highest"), grow, precision="highest")
    return _resample(images, matrix, translation * draws[4:].T)


def rotate(key: jax.Array, images: jax.Array, degrees: float) -> jax.Array:
    """Turns each image about its centre, by an angle drawn evenly up to `degrees` either way; what comes in is 0."""
    return affine(key, images, rotation=degrees)


def scale_crop(key: jax.Array, images: jax.Array, largest: float) -> jax.Array:
    """Enlarges each image by a factor drawn evenly from 1 to `largest`, and cuts out the old size anywhere in it.

    Args:
      key: a PRNG key.
      images: `[batch, height, width, channels]`, floating-point.
      largest: at least 1, which is the identity.
    """
    batch, height, width, _ = images.shape
    factor_key, place_key = jax.random.split(key)
    share = 1 / jax.random.uniform(factor_key, (batch,), minval=1.0, maxval=jnp.maximum(largest, 1.0))
    zero = jnp.zeros(batch)
    room = (1 - share)[:, None] * np.array([height - 1, width - 1], np.float32) / 2
    offset = room * jax.random.uniform(place_key, (batch, 2), minval=-1.0)
    return _resample(images, _matrices([[share, zero], [zero, share]]), offset)


def _matrices(rows: Sequence[Sequence[jax.Array]]) -> jax.Array:
    return jnp.moveaxis(jnp.stack([jnp.stack(row) for row in rows]), -1, 0)


def _resample(images: jax.Array, matrix: jax.Array, offset: jax.Array) -> jax.Array:
    """Pixel p takes the colour at c + matrix (p − c) + offset, c being the centre: `[batch, 2, 2]`, `[batch, 2]`."""
    height, width = images.shape[1:3]
    centre = np.array([(height - 1) / 2, (width - 1) / 2], np.float32)
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).astype(np.float32) - centre

    def one(image, matrix, offset):
        # Places are not to be rounded as an accelerator rounds the factors of a product.
        turned = jnp.einsum("ij,hwj->hwi", matrix, grid, precision="highest")
        places = jnp.moveaxis(turned + offset + centre, -1, 0)
        channel = jax.vmap(lambda plane: map_coordinates(plane, list(places), order=1), -1, -1)
        return channel(image)

    return jax.vmap(one)(images.astype(jnp.float32), matrix, offset).astype(images.dtype)


def brightness(key: jax.Array, images: jax.Array, largest: float) -> jax.Array:
    """Adds a number drawn evenly from −largest to largest to all of an image."""
    return images + _draw(key, images, largest)


def contrast(key: jax.Array, images: jax.Array, largest: float) -> jax.Array:
    """Multiplies an image's distance from its own mean by a factor drawn evenly from 1 − largest to 1 + largest."""
    return images + (images - images.mean(axis=(1, 2, 3), keepdims=True)) * _draw(key, images, largest)


GREY = (0.299, 0.587, 0.114)
"""How red, green and blue make grey: ITU-R BT.601."""


def colour(key: jax.Array, images: jax.Array, largest: float) -> jax.Array:
    """Multiplies each pixel's distance from its grey by a factor drawn evenly from 1 − largest to 1 + largest.

    Its saturation; images of three channels.
    """
    grey = jnp.matmul(images, np.array(GREY, images.dtype), precision="highest")[..., None]
    return images + (images - grey) * _draw(key, images, largest)


def lighting(key: jax.Array, images: jax.Array, deviation: float, components: jax.Array) -> jax.Array:
    """Adds multiples of the principal components of the training set's colours to all pixels of an image.

    Krizhevsky et al. 2012, section 4.1: [p1, p2, p3] [α1 λ1, α2 λ2, α3 λ3]ᵀ, with α drawn from N(0, deviation²) once
    for each image; the paper's deviation is 0.1.

    Args:
      key: a PRNG key.
      images: `[batch, height, width, channels]`, floating-point.
      deviation: of α. λ is a variance, so that what is added depends on the unit of brightness: here from 0 to 1.
      components: `[channels, channels]`: column i is λ_i p_i; see `colour_components`.
    """
    alpha = deviation * jax.random.normal(key, (images.shape[0], components.shape[1]))
    shift = jnp.matmul(alpha, components.T, precision="highest")
    return images + shift[:, None, None, :].astype(images.dtype)


def colour_components(covariance: np.ndarray) -> np.ndarray:
    """λ_i p_i of a covariance of colours, a column each, the largest first: `[channels, channels]`, likewise out."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * values)[:, ::-1]


def erase(
    key: jax.Array,
    images: jax.Array,
    probability: float,
    area: tuple[float, float] = (0.02, 0.4),
    aspect: float = 0.3,
    fill: jax.Array | None = None,
) -> jax.Array:
    """Covers a rectangle of each image, with the given probability, by random pixels: Zhong et al. 2017, algorithm 1.

    Args:
      key: a PRNG key.
      images: `[batch, height, width, channels]`, floating-point.
      probability: that an image is erased at all.
      area: the least and the greatest share of the image.
      aspect: the least ratio of height to width; the greatest is 1 / aspect. A side that would be longer than the image
        is as long as it.
      fill: what covers the rectangle, of the images' shape; None is noise, even from 0 to 1.
    """
    batch, height, width, _ = images.shape
    chance_key, size_key, place_key, fill_key = jax.random.split(key, 4)
    share, ratio = jax.random.uniform(size_key, (2, batch))
    share = area[0] + (area[1] - area[0]) * share
    ratio = aspect + (1 / aspect - aspect) * ratio
    sides = jnp.stack([jnp.sqrt(share * height * width * ratio), jnp.sqrt(share * height * width / ratio)])
    whole = np.array([[height], [width]], np.float32)
    sides = jnp.clip(jnp.round(sides), 1, whole)
    corners = jnp.floor(jax.random.uniform(place_key, (2, batch)) * (whole - sides + 1))
    inside = []
    for n, corner, side in zip((height, width), corners[..., None], sides[..., None], strict=True):
        place = np.arange(n, dtype=np.float32)
        inside.append((place >= corner) & (place < corner + side))
    covered = inside[0][:, :, None] & inside[1][:, None, :]
    covered &= jax.random.bernoulli(chance_key, probability, (batch, 1, 1))
    fill = jax.random.uniform(fill_key, images.shape) if fill is None else fill
    return jnp.where(covered[..., None], fill.astype(images.dtype), images)


def mixup(key: jax.Array, images: jax.Array, labels: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    """λ x_i + (1 − λ) x_j and the same of the labels, j being a shuffle of the batch: Zhang et al. 2018, equation 1.

    λ is drawn from Beta(α, α) once for the batch, as in the authors' own code.

    Args:
      key: a PRNG key.
      images: `[batch, height, width, channels]`, floating-point.
      labels: probabilities `[batch, num_classes]`.
      alpha: α; 0 is the identity.

    Returns:
      images and labels, of the same shapes.
    """
    if alpha == 0:
        return images, labels
    weight_key, shuffle_key = jax.random.split(key)
    weight = jax.random.beta(weight_key, alpha, alpha)
    others = jax.random.permutation(shuffle_key, images.shape[0])

    def mix(a: jax.Array) -> jax.Array:
        share = weight.astype(a.dtype)
        return share * a + (1 - share) * a[others]

    return mix(images), mix(labels)


def _draw(key: jax.Array, images: jax.Array, largest: float) -> jax.Array:
    """A number for each image, drawn evenly up to `largest` either way, of the images' dtype: `[batch, 1, 1, 1]`."""
    return jax.random.uniform(key, (images.shape[0], 1, 1, 1), minval=-largest, maxval=largest).astype(images.dtype)
