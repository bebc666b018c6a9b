"""What follows from a mean loss in nats per token."""

import math
from collections.abc import Mapping


def perplexity(values: Mapping[str, float]) -> dict[str, float]:
    """e to the power of every loss among the values: `test/perplexity` of `test/loss`."""
    return {f"{prefix}perplexity": _exp(loss) for prefix, loss in _losses(values)}


def bits_per_character(values: Mapping[str, float]) -> dict[str, float]:
    """Every loss among the values in units of ln 2: `test/bits_per_character` of `test/loss`."""
    return {f"{prefix}bits_per_character": loss / math.log(2) for prefix, loss in _losses(values)}


def _exp(power: float) -> float:
    try:
        return math.exp(power)
    except OverflowError:
        return math.inf


def _losses(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(name.removesuffix("loss"), loss) for name, loss in values.items() if name.endswith("/loss")]
