"""Images to themselves: what the config's sections `data`, `model` and `loss` ask for."""

from typing import Any

import jax
from jax import numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from canon import losses, models
from canon.data.pipeline import Batch
from canon.errors import UserError
from canon.models.image_classifier import flatten
from canon.training import image_workload
from canon.training.task import Classification
from canon.training.workload import Workload


def create(config: ConfigDict, mesh: Mesh, watch_activity: bool) -> Workload:
    """The workload of an arm. It reads the images.

    Raises:
      UserError: something in the config does not exist or does not fit.
    """
    models.check_kind(config.model.name, "reconstruction")
    if config.loss.name != "squared_error":
        raise UserError(f"of a reconstruction the loss is squared_error, not {config.loss.name}")
    if config.data.evaluation_crops != 1:
        raise UserError("a reconstruction is of one crop of an image: data.evaluation_crops=1")
    images = image_workload.read(config, mesh)

    def preprocess(batch: Batch, key: jax.Array | None) -> dict[str, Any]:
        seen = images.preprocess(batch, key)
        return seen | {"label": flatten(seen["image"])}

    example = jax.eval_shape(lambda batch: preprocess(batch, None), images.pipelines["train"].batch(seed=0, step=0))
    values = example["label"].shape[-1]
    model = models.create(**config.model, num_classes=values)
    loss = losses.create(**config.loss, num_classes=values)
    task = Classification(model, loss, missed_share, watch_activity=watch_activity)
    return Workload(task, images.pipelines, preprocess)


def missed_share(outputs: jax.Array, images: jax.Array) -> jax.Array:
    """Σ (y − x)² / Σ x² of each reconstruction y of an image x, `[batch, values]` both: `[batch]`.

    Of images from which the mean image was taken it is the share of what is particular to an image that is missed: 0 is
    perfect, and 1 is as good as no answer at all; what is worse than that, or not finite, is 1 too.
    """
    missed, there = jnp.square(outputs - images).sum(axis=-1), jnp.square(images).sum(axis=-1)
    share = jnp.where(missed < there, missed / jnp.where(there > 0, there, 1.0), 1.0)
    return jnp.where(missed == 0, 0.0, share)
