"""Crops: images of any size to images of one, on the host: pure functions of uint8 images `[height, width, channels]`.

Those of training draw from a generator that they are given; those of evaluation draw nothing. Every resize is
Pillow's bilinear one, which averages over all the pixels that one of a smaller image covers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from canon.errors import UserError

CROPS = ("none", "scale_jitter", "random_resized")

LARGEST = 4096
"""Pixels of a side: beyond it a batch takes gigabytes."""


@dataclass(frozen=True)
class Crops:
    """How the images of a split become images of one size.

    Attributes:
      training: from a generator and an image `[height, width, channels]` to `[size, size, channels]`.
      evaluation: from an image to `[size, size, channels]`, or to several crops of it, `[crops, size, size, channels]`.
    """

    training: Callable[[np.random.Generator, np.ndarray], np.ndarray]
    evaluation: Callable[[np.ndarray], np.ndarray]


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`[any, any, channels]` to `[height, width, channels]`, each channel by itself."""
    size = (width, height)
    if image.shape[-1] == 3:
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    # Pillow would take two or four channels for colours and their opacity, and mix them.
    channels = [Image.fromarray(image[..., i]) for i in range(image.shape[-1])]
    return np.stack([np.asarray(channel.resize(size, Image.Resampling.BILINEAR)) for channel in channels], axis=-1)


def resize_shorter_side(image: np.ndarray, size: int) -> np.ndarray:
    """The whole image with a shorter side of `size`, and the longer one in proportion: a smaller image is enlarged."""
    height, width = image.shape[:2]
    shorter = min(height, width)
    return resize(image, round(height * size / shorter), round(width * size / shorter))


def center_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The middle of an image, `[size, size, channels]`; neither side may be shorter than `size`."""
    height, width = image.shape[:2]
    return _cut(image, (height - size) // 2, (width - size) // 2, size, size)


def ten_crops(image: np.ndarray, size: int) -> np.ndarray:
    """The four corners, the middle, and the five mirrored left to right: `[10, size, size, channels]`.

    Krizhevsky et al. 2012, section 4.1; He et al. 2015, section 3.4. Neither side may be shorter than `size`.
    """
    bottom, right = image.shape[0] - size, image.shape[1] - size
    corners = [_cut(image, top, left, size, size) for top in (0, bottom) for left in (0, right)]
    five = np.stack([*corners, center_crop(image, size)])
    return np.concatenate([five, five[:, :, ::-1]])


def scale_jitter(rng: np.random.Generator, image: np.ndarray, size: int, scales: Sequence[int]) -> np.ndarray:
    """A crop at a place drawn evenly, of the image at a scale drawn evenly: `[size, size, channels]`.

    Simonyan and Zisserman 2014, section 3.1; He et al. 2015, section 3.4, with 256 to 480.

    Args:
      rng: what is drawn from.
      image: `[height, width, channels]`.
      size: of the crop's sides.
      scales: the least and the greatest length of the resized image's shorter side; neither below `size`.
    """
    image = resize_shorter_side(image, int(rng.integers(scales[0], scales[1] + 1)))
    top, left = (int(rng.integers(side - size + 1)) for side in image.shape[:2])
    return _cut(image, top, left, size, size)


def random_resized(rng: np.random.Generator, image: np.ndarray, size: int) -> np.ndarray:
    """A part of the image (see `random_box`), resized to `[size, size, channels]`."""
    return resize(_cut(image, *random_box(rng, *image.shape[:2])), size, size)


def random_box(rng: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a part of an image: of any size, aspect and place.

    Szegedy et al. 2014, section 6: between 8% and 100% of the area, evenly, and a ratio of width to height between 3/4
    and 4/3; its logarithm is drawn evenly, so that wide and high are alike. What does not fit into the image is drawn
    again. After ten times it is the largest part in the middle that has such a ratio; where an image is very wide or
    very high, it comes to that.
    """
    for _ in range(10):
        area = rng.uniform(0.08, 1.0) * height * width
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        part_height, part_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 1 <= part_height <= height and 1 <= part_width <= width:
            top, left = rng.integers(height - part_height + 1), rng.integers(width - part_width + 1)
            return int(top), int(left), part_height, part_width
    part_height, part_width = min(height, round(width * 4 / 3)), min(width, round(height * 4 / 3))
    return (height - part_height) // 2, (width - part_width) // 2, part_height, part_width


def _cut(image: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    return image[top : top + height, left : left + width]


def create(
    crop: str,
    image_size: int,
    crop_scales: Sequence[int] = (256, 480),
    evaluation_crops: int = 1,
    evaluation_scale: int = 256,
) -> Crops | None:
    """The crops that a data config asks for; None for `none`.

    Args:
      crop: `scale_jitter`, `random_resized` or `none`: what training sees.
      image_size: pixels of a crop's sides.
      crop_scales: for `scale_jitter`, see there.
      evaluation_crops: 1 for the middle, 10 for `ten_crops`.
      evaluation_scale: the shorter side of the image that these are cut from.

    Raises:
      UserError: a value is outside its range, or does not go with another.
    """
    if crop not in CROPS:
        raise UserError(f"data.crop must be one of {', '.join(CROPS)}, not {crop!r}")
    if not 0 <= image_size <= LARGEST:
        raise UserError(f"data.image_size must be between 0 and {LARGEST}, not {image_size}")
    if max(evaluation_scale, *crop_scales) > LARGEST:
        raise UserError(f"data.evaluation_scale and data.crop_scales must be at most {LARGEST}")
    if evaluation_crops not in (1, 10):
        raise UserError(f"data.evaluation_crops must be 1 or 10, not {evaluation_crops}")
    if crop == "none":
        if evaluation_crops != 1:
            raise UserError(
                f"data.evaluation_crops={evaluation_crops} needs a data.crop: with none, whole images are seen"
            )
        return None
    if image_size == 0:
        raise UserError(f"data.crop={crop} needs the size of its crops: set --config.data.image_size, to 224 say")
    if evaluation_scale < image_size:
        raise UserError(
            f"data.evaluation_scale must be at least data.image_size ({image_size}), which is cut from it, "
            f"not {evaluation_scale}"
        )
    training = partial(random_resized, size=image_size)
    if crop == "scale_jitter":
        if len(crop_scales) != 2 or not image_size <= crop_scales[0] <= crop_scales[1]:
            raise UserError(
                "data.crop_scales must be the least and the greatest shorter side, in this order and "
                f"at least data.image_size ({image_size}), not {tuple(crop_scales)}"
            )
        training = partial(scale_jitter, size=image_size, scales=tuple(crop_scales))
    cut = ten_crops if evaluation_crops == 10 else center_crop
    return Crops(training, lambda image: cut(resize_shorter_side(image, evaluation_scale), image_size))
