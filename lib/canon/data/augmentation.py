"""What a config asks to happen to training images, and in which order."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import jax
import numpy as np

from canon.data import augment
from canon.errors import UserError


@dataclass(frozen=True)
class Augmentation:
    """What happens to training images, in this order; the attributes are the fields of `config.augment`.

    Raises:
      UserError: a value is outside its range.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    translation: float = 0.0
    scale_crop: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    colour: float = 0.0
    lighting: float = 0.0
    pad_crop: int = 0
    flip: bool = False
    erase: float = 0.0
    mixup: float = 0.0

    def __post_init__(self):
        for field in fields(self):
            value, least = getattr(self, field.name), 1 if field.name == "scale_crop" else 0
            if not value >= least:
                raise UserError(f"augment.{field.name} must be at least {least}, not {value}")
        for name in ("scale", "erase"):
            if getattr(self, name) > 1:
                raise UserError(f"augment.{name} must be at most 1, not {getattr(self, name)}")
        if self.scale == 1:
            raise UserError("augment.scale must be below 1: a side that shrinks by all of itself is gone")

    @property
    def changes_pixels(self) -> bool:
        """Whether `before_normalization` does anything."""
        after = ("pad_crop", "flip", "erase", "mixup")
        return any(getattr(self, f.name) != f.default for f in fields(self) if f.name not in after)

    def before_normalization(self, key: jax.Array, images: jax.Array, components: np.ndarray | None) -> jax.Array:
        """Of images of 0 to 1, likewise out: where things lie, and colours. `components`: see `augment.lighting`."""
        keys = jax.random.split(jax.random.fold_in(key, 2), 6)  # 0 and 1 are the keys that a split in two gives
        if self.rotation or self.scale or self.shear or self.translation:
            images = augment.affine(keys[0], images, self.rotation, self.scale, self.shear, self.translation)
        if self.scale_crop > 1:
            images = augment.scale_crop(keys[1], images, self.scale_crop)
        for key, name in zip(keys[2:5], ("brightness", "contrast", "colour"), strict=True):
            if largest := getattr(self, name):
                images = getattr(augment, name)(key, images, largest)
        return augment.lighting(keys[5], images, self.lighting, components) if self.lighting else images

    def after_normalization(self, key: jax.Array, images: jax.Array, noise: Callable[[jax.Array], jax.Array]):
        """Of images as the network sees them, likewise out. `noise(key)` is a batch of them, of noise."""
        crop_key, flip_key = jax.random.split(key)
        images = augment.pad_crop(crop_key, images, self.pad_crop) if self.pad_crop else images
        images = augment.flip(flip_key, images) if self.flip else images
        if self.erase:
            key, noise_key = jax.random.split(jax.random.fold_in(key, 3))
            images = augment.erase(key, images, self.erase, fill=noise(noise_key))
        return images

    def mix(self, key: jax.Array, batch: dict[str, jax.Array], num_classes: int) -> dict[str, jax.Array]:
        """A batch with soft labels, where images are mixed."""
        if not self.mixup:
            return batch
        labels = jax.nn.one_hot(batch["label"], num_classes, dtype=batch["image"].dtype)
        images, labels = augment.mixup(jax.random.fold_in(key, 4), batch["image"], labels, self.mixup)
        return batch | {"image": images, "label": labels}
