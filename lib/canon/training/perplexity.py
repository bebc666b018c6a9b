"""What follows from a mean loss in nats per token."""

import math
from collections.abc import Mapping

_MOST_NATS = 700.0  # e to a larger power is no float64


def perplexity(values: Mapping[str, float]) -> dict[str, float]:
    """e to the power of every loss among the values: `test/perplexity` of `test/loss`."""
    return {
        f"{prefix}perplexity": math.exp(loss) if loss < _MOST_NATS else math.inf for prefix, loss in _losses(values)
    }


def bits_per_character(values: Mapping[str, float]) -> dict[str, float]:
    """Every loss among the values in units of ln 2: `test/bits_per_character` of `test/loss`."""
    return {f"{prefix}bits_per_character": loss / math.log(2) for prefix, loss in _losses(values)}


def _losses(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(name.removesuffix("loss"), loss) for name, loss in values.items() if name.endswith("/loss")]
