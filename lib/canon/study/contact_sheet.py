"""A picture of what the arms of a study do to their training images."""

import io
from pathlib import Path

import jax
import matplotlib
import numpy as np
from jax import numpy as jnp
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from canon import files
from canon.data import crops, preprocess, sources
from canon.data.augmentation import Augmentation

_MOST_PIXELS = 30_000  # along a side
_PARTNERS = 8  # images that are drawn beside those that are shown: mixup takes another one for each


def draw(arm: ConfigDict, images: int, draws: int, seed: int) -> np.ndarray:
    """Some training images of an arm as they are, and so many draws of each as training sees them.

    Args:
      arm: the config of its runs.
      images: how many, evenly spaced in the training split.
      draws: of each.
      seed: of the draws.

    Returns:
      `[images, 1 + draws, height, width, channels]` float32 from 0 to 1, before normalisation.
    """
    data = arm.data
    source = sources.load(data.source, data.train_split, data.data_dir)
    cut = crops.create(data.crop, data.image_size, data.crop_scales, 1, data.evaluation_scale)
    prepare = jax.jit(preprocess.create(source, "none", Augmentation(**arm.augment), data.image_size, cut))
    partners = [(2 * i + 1) * len(source) // (2 * _PARTNERS) for i in range(_PARTNERS)]
    chosen = [i * len(source) // images for i in range(images)] + partners

    def see(key: jax.Array | None, generator: np.random.Generator) -> np.ndarray:
        def crop(_: int, image: np.ndarray) -> np.ndarray:
            return cut.evaluation(image) if key is None else cut.training(generator, image)

        stored, labels = sources.stack(source, chosen, crop if cut else None)
        batch = {"image": jnp.asarray(stored), "label": jnp.asarray(labels)}
        return np.asarray(prepare(batch, key)["image"])[:images]

    keys = [None, *jax.random.split(jax.random.key(seed), draws)]
    columns = [see(key, np.random.default_rng([seed, i])) for i, key in enumerate(keys)]
    return np.stack(columns, axis=1).clip(0, 1)


def write(arms: dict[str, ConfigDict], path: Path, images: int, draws: int, seed: int) -> list[str]:
    """Draws a sheet with a block for every way in which `arms` treat their images, and writes it as a PNG.

    Returns:
      the title of each block: the names of the arms that are alike in this.
    """
    blocks: dict[tuple[str, str], tuple[list[str], ConfigDict]] = {}
    for name, arm in arms.items():
        alike = arm.augment.to_json(), arm.data.to_json()
        blocks.setdefault(alike, ([], arm))[0].append(name)
    titles = [", ".join(names) for names, _ in blocks.values()]
    sheets = [draw(arm, images, draws, seed) for _, arm in blocks.values()]
    cell, label = 0.62, 0.35  # inches
    figure = Figure(
        figsize=(cell * (draws + 1) + 0.3, (cell * images + label) * len(sheets) + 0.3), layout="constrained"
    )
    parts = np.atleast_1d(figure.subfigures(len(sheets), 1))
    for part, sheet, title in zip(parts, sheets, titles, strict=True):
        part.suptitle(title, fontsize=9, x=0.01, ha="left")
        for axes, image in zip(part.subplots(images, draws + 1, squeeze=False).flat, _flat(sheet), strict=True):
            axes.imshow(image[..., 0] if image.shape[-1] == 1 else image[..., :3], cmap="gray", vmin=0, vmax=1)
            axes.set_axis_off()
    figure.text(0.99, 0.995, "first column: the image as it is", fontsize=7, color="0.35", ha="right", va="top")
    buffer = io.BytesIO()
    with matplotlib.rc_context({"image.interpolation": "nearest"}):
        figure.savefig(buffer, format="png", dpi=min(150, int(_MOST_PIXELS / max(figure.get_size_inches()))))
    files.write(path, buffer.getvalue())
    return titles


def _flat(sheet: np.ndarray) -> np.ndarray:
    return sheet.reshape(-1, *sheet.shape[2:])
