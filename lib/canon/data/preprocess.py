"""From a batch as it is stored to what the network sees: gathered, normalised, augmented; inside the jitted step."""

from collections.abc import Callable

import jax
import numpy as np
from jax import numpy as jnp

from canon.data import augment
from canon.data.pipeline import Batch, examples
from canon.data.sources import Source, stack
from canon.errors import UserError

Preprocess = Callable[[Batch, jax.Array | None], dict[str, jax.Array]]
"""(batch, key) -> {"image": float32, "label": int32, ...}. With a key it augments, with None it does not."""

NORMALIZATIONS = ("mean_image", "standardize", "none")


def statistics(source: Source, chunk: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """The mean and standard deviation over all images: `[height, width, channels]` float64 each, in units of 0 to 1."""
    total = np.zeros(source.image_shape)
    squares = np.zeros(source.image_shape)
    for start in range(0, len(source), chunk):
        images = stack(source, range(start, min(start + chunk, len(source))))[0] / 255.0
        total += images.sum(axis=0)
        squares += np.square(images).sum(axis=0)
    mean = total / len(source)
    return mean, np.sqrt(np.maximum(squares / len(source) - np.square(mean), 0.0))


def scale_and_offset(source: Source, normalize: str) -> tuple[np.ndarray, np.ndarray]:
    """The float32 (scale, offset) that make the network's input from an image: `image * scale + offset`.

    Args:
      source: the training examples, the only ones that may be looked at.
      normalize: `mean_image` subtracts the mean image, pixel by pixel, from values of 0 to 1 (Krizhevsky et al. 2012,
        He et al. 2015); `standardize` makes each channel's mean 0 and standard deviation 1; `none` scales to 0 to 1.

    Raises:
      UserError: `normalize` is none of these.
    """
    if normalize not in NORMALIZATIONS:
        raise UserError(f"data.normalize must be one of {', '.join(NORMALIZATIONS)}, not {normalize!r}")
    scale, offset = np.array(1 / 255), np.array(0.0)
    if normalize != "none":
        mean, deviation = statistics(source)
        if normalize == "mean_image":
            offset = -mean
        else:
            channel_mean = mean.mean(axis=(0, 1))
            # Within pixels plus between pixels: the variance of a mixture.
            variance = np.square(deviation).mean(axis=(0, 1)) + np.square(mean - channel_mean).mean(axis=(0, 1))
            channel_deviation = np.sqrt(np.maximum(variance, 1e-12))
            scale, offset = scale / channel_deviation, -channel_mean / channel_deviation
    return scale.astype(np.float32), offset.astype(np.float32)


def create(source: Source, normalize: str, pad_crop: int = 0, flip: bool = False) -> Preprocess:
    """The preprocessing that a data config asks for.

    Args:
      source: the training examples.
      normalize: see `scale_and_offset`.
      pad_crop: pixels of zero padding around a random crop, after normalisation; 0 for none.
      flip: mirror half of the images.

    Raises:
      UserError: a value is outside its range.
    """
    if pad_crop < 0:
        raise UserError(f"data.pad_crop must be at least 0, not {pad_crop}")
    scale, offset = scale_and_offset(source, normalize)

    def preprocess(batch: Batch, key: jax.Array | None) -> dict[str, jax.Array]:
        batch = examples(batch)
        images = batch["image"].astype(jnp.float32) * scale + offset
        if key is not None:
            crop_key, flip_key = jax.random.split(key)
            images = augment.pad_crop(crop_key, images, pad_crop) if pad_crop else images
            images = augment.flip(flip_key, images) if flip else images
        return batch | {"image": images}

    return preprocess
