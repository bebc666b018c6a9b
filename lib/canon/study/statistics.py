"""From paired measurements to a verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
UNDERPOWERED = "underpowered"


@dataclass(frozen=True)
class Comparison:
    """What n paired differences say about a claim that their mean lies above a threshold.

    Attributes:
      n: how many pairs there are.
      mean: of the differences; None with no pairs, or where one is not finite.
      interval: the 95% confidence interval of the mean; None with fewer than two pairs, or where one is not finite.
      verdict: `reproduced` when all of the interval lies above the threshold, `contradicted` when all of it lies
        below, else `underpowered`.
    """

    n: int
    mean: float | None
    interval: tuple[float, float] | None
    verdict: str


def compare(differences: Sequence[float], threshold: float = 0.0, confidence: float = 0.95) -> Comparison:
    """Whether the mean of `differences` lies above `threshold`, by Student's t interval of paired differences.

    A run that diverged has an infinite loss, and no mean can hold it. Then the signs of (difference − threshold) decide
    alone, by the two-sided sign test at the same level, which needs at least six pairs of one sign.

    Args:
      differences: one for each pair of runs; ±inf where one of the two diverged, nan where both did.
      threshold: what the mean is claimed to exceed.
      confidence: of the interval.
    """
    values = np.asarray(differences, np.float64)
    if len(values) == 0:
        return Comparison(0, None, None, UNDERPOWERED)
    if not np.isfinite(values).all():
        return Comparison(len(values), None, None, _by_signs(values - threshold, confidence))
    mean = float(values.mean())
    if len(values) == 1:
        return Comparison(1, mean, None, UNDERPOWERED)
    half_width = special.stdtrit(len(values) - 1, (1 + confidence) / 2) * values.std(ddof=1) / math.sqrt(len(values))
    low, high = mean - float(half_width), mean + float(half_width)
    verdict = REPRODUCED if low > threshold else CONTRADICTED if high < threshold else UNDERPOWERED
    return Comparison(len(values), mean, (low, high), verdict)


def _by_signs(excess: np.ndarray, confidence: float) -> str:
    from scipy import stats  # a second and more; few studies come here

    above, below = int((excess > 0).sum()), int((excess < 0).sum())
    if above + below == 0 or stats.binomtest(above, above + below).pvalue > 1 - confidence:
        return UNDERPOWERED
    return REPRODUCED if above > below else CONTRADICTED


def overall(verdicts: Sequence[str]) -> str:
    """The verdict of a study: contradicted if any claim is, reproduced if all are, else underpowered."""
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return REPRODUCED if verdicts and set(verdicts) == {REPRODUCED} else UNDERPOWERED
