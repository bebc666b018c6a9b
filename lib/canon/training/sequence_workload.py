"""Sequences to classes: what the config's sections `data`, `model` and `loss` ask for."""

from jax import numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from canon import losses, models
from canon.data import generated
from canon.data.pipeline import Batch
from canon.training import workload
from canon.training.task import Classification
from canon.training.workload import Workload

# What the section `data` has for sequences.
_FIELDS = ("source", "train_split", "validation_split", "test_split", "length", "examples", "data_dir", "placement")


def create(config: ConfigDict, mesh: Mesh, watch_activity: bool) -> Workload:
    """The workload of an arm.

    Raises:
      UserError: something in the config does not exist or does not fit.
    """
    models.check_kind(config.model.name, "sequence")
    workload.check_fields(config, _FIELDS, watch_activity, "sequences")
    data = config.data
    pipelines = {
        name: generated.create(data.source, data.length, config.train.batch_size, data.examples, split)
        for name, split in workload.splits(data).items()
    }
    num_classes = pipelines["train"].task.num_classes
    model = models.create(**config.model, num_classes=num_classes)
    loss = losses.create(**config.loss, num_classes=num_classes)
    return Workload(Classification(model, loss, inputs=("sequence",)), pipelines, preprocess)


def preprocess(batch: Batch, key: object) -> Batch:
    """Symbols as the network takes them: float32."""
    return batch | {"sequence": batch["sequence"].astype(jnp.float32)}
