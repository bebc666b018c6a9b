"""Images to the names of their classes, letter by letter: what the config's `data`, `model` and `loss` ask for."""

from typing import Any

import jax
from jax import numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from canon import hosts, losses, models
from canon.data import captions
from canon.data.pipeline import Batch
from canon.data.words import BOS, EOS
from canon.errors import UserError
from canon.generation import decoding
from canon.training import image_workload, parallel, workload
from canon.training.perplexity import perplexity
from canon.training.sequence_to_sequence import SequenceToSequence
from canon.training.task import Variables
from canon.training.workload import Workload


def create(config: ConfigDict, mesh: Mesh, watch_activity: bool) -> Workload:
    """The workload of an arm. It reads the images.

    Raises:
      UserError: something in the config does not exist or does not fit.
    """
    models.check_kind(config.model.name, "caption")
    if watch_activity:
        raise UserError("train.watch=activity is for networks from images to classes; gradients can be watched of any")
    workload.check_cross_entropy(config, "captions")
    if config.data.evaluation_crops != 1 or config.augment.mixup:
        raise UserError("captions go with one crop of an image, data.evaluation_crops=1, and with augment.mixup=0")
    written = captions.create(config.data.source)
    images = image_workload.read(config, mesh)
    num_classes = len(written.characters)
    model = models.create(**config.model, num_classes=num_classes)

    def preprocess(batch: Batch, key: jax.Array | None) -> dict[str, Any]:
        seen = images.preprocess(batch, key)
        label, mask = seen["label"], jnp.asarray(written.mask)
        captioned = {"tokens": jnp.asarray(written.tokens)[label], "targets": jnp.asarray(written.targets)[label]}
        inside = seen.get("mask", jnp.ones(label.shape, mask.dtype))
        return seen | captioned | {"mask": mask[label] * inside[:, None]}

    prepared = jax.jit(lambda batch: preprocess(batch, None))

    def measure(variables: Variables, split: str, batch_size: int) -> dict[str, float]:
        pipeline, wrong = images.pipelines[split], 0
        most = written.targets.shape[1]
        for batch in pipeline.evaluation_batches(batch_size):
            seen = prepared(parallel.place(batch, mesh) if hosts.several() else batch)
            answers, _ = decoding.decode(model, variables, (seen["image"],), BOS, EOS, most, config.train.beams)
            answers, mask, targets = map(hosts.fetch, (answers, seen["mask"], seen["targets"]))
            differs = (answers[:, 0] != targets) & (mask > 0)
            wrong += int(differs.any(axis=1).sum())
        return {"sequence_error": wrong / pipeline.size}

    return Workload(
        task=SequenceToSequence(model, ("image",), losses.create(**config.loss, num_classes=num_classes)),
        pipelines=images.pipelines,
        preprocess=preprocess,
        derive=perplexity,
        measure=measure,
    )
