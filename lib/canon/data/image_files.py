"""Image files, as people have them."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from canon.errors import UserError

MOST_PIXELS = 100_000_000
"""A file of a few kilobytes can claim to be an image of gigabytes."""


def read(path: Path | str) -> np.ndarray:
    """The colours of an image file, upright: `[height, width, 3]` uint8. Grey becomes colour, and opacity is dropped.

    Raises:
      UserError: there is no such file, it is no image or damaged, or it has more than `MOST_PIXELS` pixels.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise UserError(
                f"{path} is a folder; name the images in it" if path.is_dir() else f"there is no image {path}"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of many pixels, where the bound below is the stricter one; of opacity
            with Image.open(path) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise UserError(
                        f"{path} has {image.width}×{image.height} pixels; more than {MOST_PIXELS:,} are refused"
                    )
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith("I"):  # grey of 16 bits, which Pillow would clip to 8
                    upright = Image.fromarray((np.asarray(upright) // 256).clip(0, 255).astype(np.uint8))
                return np.array(upright.convert("RGB"))
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds
        raise UserError(f"{path} cannot be read as an image: {' '.join(str(error).split())}") from error
