"""What the runs of each task record of a split besides its error and its loss, by the name of the task."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """Something that is measured of a split that was held out, and is no mean over its examples.

    Attributes:
      worst: what it is of a network that predicts nothing, or that diverged.
      larger_is_better: whether it is.
    """

    worst: float
    larger_is_better: bool = True


DERIVED: Mapping[str, tuple[str, ...]] = {
    "captioning": ("perplexity",),
    "language_model": ("perplexity", "bits_per_character"),
    "translation": ("perplexity",),
}
"""What follows from a split's loss."""

MEASURED: Mapping[str, Mapping[str, Measure]] = {
    # The share of images of which the name, as the network writes it by itself, is not right to the letter.
    "captioning": {"sequence_error": Measure(1.0, larger_is_better=False)},
    # The area under the receiver operating characteristic of telling peptides that bind (below 500 nM) from others, and
    # the rank correlation with the measured affinities.
    "peptide_binding": {"auc": Measure(0.5), "spearman": Measure(0.0)},
    # Corpus BLEU, 0 to 100.
    "translation": {"bleu": Measure(0.0)},
}
"""What is measured of splits that are held out."""


def names(task: str, split: str) -> tuple[str, ...]:
    """All that a run records of a split."""
    measured = () if split == "train" else tuple(MEASURED.get(task, ()))
    return ("error", "loss", *DERIVED.get(task, ()), *measured)


def larger_is_better(task: str, name: str) -> bool:
    """Whether of what is recorded, such as `validation/bleu`, the larger value is the better one."""
    measure = MEASURED.get(task, {}).get(name.rpartition("/")[2])
    return measure is not None and measure.larger_is_better


def worst(task: str) -> dict[str, float]:
    """Of each measure of a task, see `Measure.worst`."""
    return {name: measure.worst for name, measure in MEASURED.get(task, {}).items()}
