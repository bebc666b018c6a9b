"""Peptides, and how well a protein binds them: what the config's sections `data`, `model` and `loss` ask for."""

import functools
from pathlib import Path

import jax
import numpy as np
from flax import linen as nn
from jax import numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict, FrozenConfigDict

from canon import losses, models
from canon.data import peptides
from canon.data.array_pipeline import ArrayPipeline
from canon.data.peptides import BINDS_ABOVE, Peptides
from canon.errors import UserError, did_you_mean
from canon.training import measures, workload
from canon.training.task import Classification, Variables
from canon.training.workload import Workload

INPUTS = ("residues", "length")

# What the section `data` has for peptides, and for those from each source.
_FIELDS = ("source", "train_split", "validation_split", "test_split")
_OF_FILES = ("text", "protein")
_OF_MADE = ("examples",)


def create(config: ConfigDict, mesh: Mesh, watch_activity: bool) -> Workload:
    """The workload of an arm. It reads the peptides.

    Raises:
      UserError: something in the config does not exist or does not fit.
    """
    models.check_kind(config.model.name, "peptide")
    of = {peptides.MOTIF: _OF_MADE, peptides.FILE: _OF_FILES}
    if config.data.source not in of:
        nearest = did_you_mean(config.data.source, of)
        raise UserError(f"no peptides are called {config.data.source!r}{nearest} (there are: {', '.join(of)})")
    known = (*_FIELDS, *of[config.data.source])
    workload.check_fields(config, known, watch_activity, f"peptides of the source {config.data.source}")
    if config.loss.name != "binary_cross_entropy":
        raise UserError(f"of peptides the loss is binary_cross_entropy, not {config.loss.name}")
    splits = _read(FrozenConfigDict({name: config.data[name] for name in (*_FIELDS, *_OF_FILES, *_OF_MADE)}))
    pipelines = {
        name: ArrayPipeline(
            {"residues": p.residues, "length": p.lengths, "label": p.affinities[:, None]},
            config.train.batch_size if name == "train" else 1,
        )
        for name, p in splits.items()
    }
    model = models.create(**config.model, num_classes=1)

    def measure(variables: Variables, split: str, batch_size: int) -> dict[str, float]:
        outputs = predict(model, variables, pipelines[split], batch_size)
        return agreement(outputs, splits[split].affinities)

    return Workload(
        task=Classification(model, losses.create(**config.loss, num_classes=1), binding_error, inputs=INPUTS),
        pipelines=pipelines,
        preprocess=lambda batch, key: batch,
        checksums={name: p.checksum for name, p in splits.items()},
        measure=measure,
    )


@functools.lru_cache(maxsize=4)
def _read(data: FrozenConfigDict) -> dict[str, Peptides]:
    if data.source == peptides.MOTIF:
        every = peptides.make(data.examples)
    elif data.text:
        every = peptides.read(Path(data.text), data.protein)
    else:
        raise UserError("name the table of measurements: --config.data.text=FILE, with mhc, sequence and meas")
    splits = {name: peptides.split_of(every, split) for name, split in workload.splits(data).items()}
    for name, of_split in splits.items():
        binding = of_split.affinities > BINDS_ABOVE
        if not binding.any() or binding.all():
            some = "all" if binding.any() else "none"
            raise UserError(
                f"of the {len(of_split)} {name} peptides {some} bind below 500 nM: there is nothing to tell apart; "
                "take more peptides, or another protein"
            )
    return splits


def binding_error(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """1 where a peptide is put on the wrong side of 500 nM, or its logit is not finite: both `[batch, 1]`."""
    wrong = (nn.sigmoid(logits) > BINDS_ABOVE) != (labels > BINDS_ABOVE)
    return jnp.where(jnp.isfinite(logits), wrong.astype(jnp.float32), 1.0)[:, 0]


@functools.partial(jax.jit, static_argnames="model")
def _outputs(model: nn.Module, variables: Variables, *given: jax.Array) -> jax.Array:
    return model.apply(variables, *given)[:, 0]


def predict(model: nn.Module, variables: Variables, pipeline: ArrayPipeline, batch_size: int) -> np.ndarray:
    """The logit of every peptide, in their order: `[size]`."""
    batches = pipeline.evaluation_batches(batch_size)
    outputs = [_outputs(model, variables, *(batch[name] for name in INPUTS)) for batch in batches]
    return np.concatenate([np.asarray(o) for o in outputs])[: pipeline.size]


def agreement(outputs: np.ndarray, affinities: np.ndarray) -> dict[str, float]:
    """See `canon.training.measures.MEASURED`; where all outputs are alike they are the worst."""
    from scipy import stats  # imports of half a second and more
    from sklearn.metrics import roc_auc_score

    if not np.isfinite(outputs).all() or np.ptp(outputs) == 0:
        return measures.worst("peptide_binding")
    auc = roc_auc_score(affinities > BINDS_ABOVE, outputs)
    return {"auc": float(auc), "spearman": float(stats.spearmanr(outputs, affinities).statistic)}
