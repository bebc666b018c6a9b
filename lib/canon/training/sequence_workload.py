"""Sequences to classes, or each of their symbols to one: what the config's `data`, `model` and `loss` ask for."""

from collections.abc import Mapping

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
    """The workload of an arm that says something of each sequence.

    Raises:
      UserError: something in the config does not exist or does not fit.
    """
    return _create(config, watch_activity, "sequence", generated.TASKS)


def create_tagging(config: ConfigDict, mesh: Mesh, watch_activity: bool) -> Workload:
    """The workload of an arm that says something of each symbol of a sequence; errors as of `create`."""
    return _create(config, watch_activity, "tag", generated.TAGS)


def _create(config: ConfigDict, watch_activity: bool, kind: str, tasks: Mapping[str, generated.Task]) -> Workload:
    models.check_kind(config.model.name, kind)
    workload.check_fields(config, _FIELDS, watch_activity, "sequences")
    data = config.data
    pipelines = {
        name: generated.create(data.source, data.length, config.train.batch_size, data.examples, split, tasks)
        for name, split in workload.splits(data).items()
    }
    num_classes = pipelines["train"].task.num_classes
    model = models.create(**config.model, num_classes=num_classes)
    loss = losses.create(**config.loss, num_classes=num_classes)
    return Workload(Classification(model, loss, inputs=("sequence",)), pipelines, preprocess)


def preprocess(batch: Batch, key: object) -> Batch:
    """Symbols as the network takes them: float32."""
    return batch | {"sequence": batch["sequence"].astype(jnp.float32)}
