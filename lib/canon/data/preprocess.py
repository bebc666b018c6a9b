"""From a batch as it is stored to what the network sees: gathered, normalised, resized, augmented; inside the step."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp

from canon import imagenet
from canon.data import augment
from canon.data.augmentation import Augmentation
from canon.data.crops import Crops
from canon.data.pipeline import Batch, examples, read_ahead
from canon.data.sources import Source, stack
from canon.errors import UserError

Preprocess = Callable[[Batch, jax.Array | None], dict[str, jax.Array]]
"""(batch, key) -> {"image": float32, "label": int32, ...}. With a key it augments, with None it does not."""

NORMALIZATIONS = ("mean_image", "standardize", "imagenet", "none")

_MOST_DECODED = 10_000  # images that the statistics of a cropped set are over: each is decoded for them alone


def statistics(source: Source, chunk: int = 100, crops: Crops | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The mean and standard deviation over all images: `[height, width, channels]` float64 each, in units of 0 to 1.

    With `crops` they are over what an evaluation sees of at most 10,000 images, evenly spaced in the source.
    """
    size, total, squares = 0, np.uint64(0), np.uint64(0)  # whole numbers, so that the sums are exact
    for images in _chunks(source, chunk, crops):
        size += len(images)
        total = total + images.sum(axis=0, dtype=np.uint64)
        squares = squares + np.square(images, dtype=np.uint32).sum(axis=0, dtype=np.uint64)
    mean = total / (255 * size)
    return mean, np.sqrt(np.maximum(squares / (255**2 * size) - np.square(mean), 0.0))


def colour_covariance(source: Source, crops: Crops | None = None) -> np.ndarray:
    """The covariance of the colours of all pixels, in units of 0 to 1: `[channels, channels]` float64.

    Over the images that `statistics` is over.
    """
    pixels = total = products = 0
    for images in _chunks(source, 100, crops):
        colours = images.reshape(-1, images.shape[-1]) / 255
        pixels += len(colours)
        total = total + colours.sum(axis=0)
        products = products + colours.T @ colours
    mean = total / pixels
    return products / pixels - np.outer(mean, mean)


def _chunks(source: Source, chunk: int, crops: Crops | None) -> Iterator[np.ndarray]:
    size = len(source) if crops is None else min(len(source), _MOST_DECODED)
    indices = range(size) if crops is None else [i * len(source) // size for i in range(size)]
    crop = None if crops is None else lambda _, image: crops.evaluation(image)
    chunks = [indices[start : start + chunk] for start in range(0, size, chunk)]
    for images, _ in read_ahead([partial(stack, source, some, crop) for some in chunks], crops):
        yield images


def scale_and_offset(source: Source, normalize: str, crops: Crops | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The float32 (scale, offset) that make the network's input from an image: `image * scale + offset`.

    Args:
      source: the training examples, the only ones that may be looked at.
      normalize: `mean_image` subtracts the mean image, pixel by pixel, from values of 0 to 1 (Krizhevsky et al. 2012,
        He et al. 2015); `standardize` makes each channel's mean 0 and standard deviation 1; `imagenet` does so for
        ImageNet, by its published statistics; `none` scales to 0 to 1.
      crops: how the source's images are cropped, where they are; see `statistics`.

    Raises:
      UserError: `normalize` is none of these, or not for such images.
    """
    if normalize not in NORMALIZATIONS:
        raise UserError(f"data.normalize must be one of {', '.join(NORMALIZATIONS)}, not {normalize!r}")
    scale, offset = np.array(1 / 255), np.array(0.0)
    if normalize == "imagenet":
        if source.image_shape[-1] != 3:
            raise UserError(f"data.normalize=imagenet is for images of 3 channels, not {source.image_shape[-1]}")
        scale, offset = _standardizing(np.array(imagenet.MEAN), np.array(imagenet.DEVIATION))
    elif normalize == "standardize":
        mean, deviation = statistics(source, crops=crops)
        channel_mean = mean.mean(axis=(0, 1))
        # Within pixels plus between pixels: the variance of a mixture.
        variance = np.square(deviation).mean(axis=(0, 1)) + np.square(mean - channel_mean).mean(axis=(0, 1))
        scale, offset = _standardizing(channel_mean, np.sqrt(np.maximum(variance, 1e-12)))
    elif normalize == "mean_image":
        if crops is not None:
            raise UserError(
                "data.normalize=mean_image does not go with data.crop: a crop can be any part of an image, so no pixel "
                "has a mean of its own; use imagenet, standardize or none"
            )
        offset = -statistics(source)[0]
    return scale.astype(np.float32), offset.astype(np.float32)


def _standardizing(mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 1 / 255 / deviation, -mean / deviation


def resize(images: jax.Array, size: int) -> jax.Array:
    """`[..., height, width, channels]` to `[..., size, size, channels]`, whatever the aspect; 0 is the identity.

    Bilinear; a pixel of a smaller image is an average over all those that it covers.
    """
    if size == 0:
        return images
    return jax.image.resize(images, (*images.shape[:-3], size, size, images.shape[-1]), "bilinear", antialias=True)


def create(
    source: Source,
    normalize: str,
    augmentation: Augmentation = Augmentation(),
    image_size: int = 0,
    crops: Crops | None = None,
) -> Preprocess:
    """The preprocessing that a data config asks for.

    Args:
      source: the training examples.
      normalize: see `scale_and_offset`.
      augmentation: of training images.
      image_size: pixels of a side, to which the images are resized here; 0 for none.
      crops: how the source's images are cropped before they come here, where they are.

    Raises:
      UserError: a value is outside its range, or does not go with another.
    """
    if augmentation.pad_crop and crops is not None:
        raise UserError("augment.pad_crop does not go with data.crop: either of them cuts a random crop; set it to 0")
    if (augmentation.colour or augmentation.lighting) and source.image_shape[-1] != 3:
        name = "colour" if augmentation.colour else "lighting"
        raise UserError(f"augment.{name} is for images of 3 channels, not {source.image_shape[-1]}")
    scale, offset = scale_and_offset(source, normalize, crops)
    components = augment.colour_components(colour_covariance(source, crops)) if augmentation.lighting else None
    if components is not None:
        components = components.astype(np.float32)

    def network_input(images: jax.Array) -> jax.Array:
        # Normalised first: a resize is linear, so this resizes the mean image as it does the images.
        return resize(images * scale + offset, image_size if crops is None else 0)

    def preprocess(batch: Batch, key: jax.Array | None) -> dict[str, jax.Array]:
        batch = examples(batch)
        images = batch["image"].astype(jnp.float32)
        if key is None:
            return batch | {"image": network_input(images)}

        def noise(key: jax.Array) -> jax.Array:
            return network_input(jax.random.uniform(key, images.shape, maxval=255.0))

        seen = images
        if augmentation.changes_pixels:
            seen = augmentation.before_normalization(key, images / 255, components) * 255
        seen = augmentation.after_normalization(key, network_input(seen), noise)
        return augmentation.mix(key, batch | {"image": seen}, source.num_classes)

    return preprocess
