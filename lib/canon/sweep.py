"""Candidates for a choice: grids and random search over fields of a config, as an experiment file writes them.

    config.candidates = ConfigDict(sweep.grid({"schedule.learning_rate": (0.1, 0.03, 0.01)}))
    config.arms = ConfigDict(sweep.grid({"model.depth": (20, 32, 44, 56)}))

As `config.candidates` they are what each arm chooses from on validation data, before its runs begin; as `config.arms`
they are arms like any others. This file imports no jax.
"""

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from canon.errors import UserError

Candidates = dict[str, dict[str, Any]]
"""By name, the fields that a candidate sets, nested as a config is."""


def grid(fields: Mapping[str, Sequence[Any]]) -> Candidates:
    """Every combination of values of some fields.

    Args:
      fields: by dotted name, such as `schedule.learning_rate`, the values to try.

    Raises:
      UserError: there are no fields, a field has no values, or two candidates would have one name.
    """
    if not fields or not all(fields.values()):
        raise UserError("a grid needs fields, and for each of them values to try")
    found: Candidates = {}
    for values in itertools.product(*fields.values()):
        _add(found, dict(zip(fields, values, strict=True)))
    return found


def random_search(fields: Mapping[str, tuple[float, float]], number: int, seed: int = 0) -> Candidates:
    """So many draws of numbers, each field evenly on a logarithmic scale: Bergstra and Bengio 2012.

    Args:
      fields: by dotted name the least and the greatest number, above 0.
      number: of candidates, at least 1.
      seed: of the draws, which are the same every time.

    Raises:
      UserError: there are no fields, a range is empty or reaches 0, or the number is below 1.
    """
    if not fields or number < 1:
        raise UserError(f"a random search needs fields, and at least one candidate, not {number}")
    for field, (low, high) in fields.items():
        if not 0 < low <= high < math.inf:
            raise UserError(f"a random search needs 0 < least ≤ greatest for {field}, not {low} and {high}")
    draw = random.Random(seed)
    found: Candidates = {}
    for _ in range(100 * number):
        if len(found) == number:
            return found
        values = {field: low * (high / low) ** draw.random() for field, (low, high) in fields.items()}
        values = {field: float(f"{value:.3g}") for field, value in values.items()}  # as it will be written
        found[_name(values)] = _nested(values)
    if len(found) == number:
        return found
    raise UserError(f"the ranges are too narrow for {number} candidates that differ in three digits; ask for fewer")


def _add(found: Candidates, values: dict[str, Any]) -> None:
    name = _name(values)
    if name in found:
        raise UserError(f"two candidates would be called {name}; give different values")
    found[name] = _nested(values)


def _name(values: Mapping[str, Any]) -> str:
    """`learning_rate=3e-2+weight_decay=1e-4`: no dots, which a ConfigDict's keys cannot hold."""
    return "+".join(f"{field.rsplit('.', 1)[-1]}={_written(value)}" for field, value in values.items())


def _written(value: Any) -> str:
    if isinstance(value, float):
        _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
        sign = "-" if value < 0 else ""
        return sign + "".join(map(str, digits)) + (f"e{exponent}" if exponent else "")
    if isinstance(value, list | tuple):
        return "-".join(map(_written, value)) or "none"
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in str(value))


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for field, value in values.items():
        *parents, last = field.split(".")
        section = changes
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return changes
