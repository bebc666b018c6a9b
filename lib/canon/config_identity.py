"""When two configs are the same, for a run that is taken up again and for whoever asks how two differ.

This file imports no jax, as `canon.config`.
"""

import hashlib
import json
from typing import Any

from ml_collections import ConfigDict

from canon.config import flatten

WITHOUT_EFFECT = (
    "data.data_dir", "data.placement", "train.checkpoint_every", "train.keep_checkpoints", "train.keep_best",
)  # fmt: skip
"""The fields on which no result depends: where data is read from, how it comes to the device, and what is kept."""


SAME_BITS = {"parallel.seeds": ("sequential", "concurrent", "unroll")}
"""The values of fields among which no result depends either."""


def with_effect(config: ConfigDict) -> dict[str, Any]:
    """The fields on which results depend, by dotted key; of values that give the same results the first."""
    fields = {name: value for name, value in flatten(config).items() if name not in WITHOUT_EFFECT}
    same = {name: values[0] for name, values in SAME_BITS.items() if fields.get(name) in values}
    return fields | same


def digest(config: ConfigDict) -> str:
    """A digest of what a run is made of: two configs that give the same results have the same."""
    fields = with_effect(config)
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()[:16]


def differences(one: ConfigDict, other: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configs differ, by dotted key: (value in `one`, value in `other`); None where absent."""
    a, b = flatten(one), flatten(other)
    return {key: (a.get(key), b.get(key)) for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)}
