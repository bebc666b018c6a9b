"""What a checkpoint says of itself, so that a damaged one is known for one, and that of another network too.

Orbax reads an array with a flipped bit, or one of another dtype, without a word. So beside the state every checkpoint
has a manifest: its step, the config and the versions that it was made by, and of each leaf the shape, the dtype and the
checksum. It is inside the checkpoint, which is renamed to its place when all of it is written: both are there, or none.
"""

import json
import zlib
from typing import Any

import jax
import numpy as np

from canon.training import environment

Manifest = dict[str, Any]

_CHECKSUM = "crc32"


class Damaged(Exception):  # noqa: N818  an error of a disk, not of a program
    """A checkpoint is not what was saved; says in what."""


def make(state: Any, step: int, config: str, progress: dict[str, Any]) -> Manifest:
    """The manifest of a checkpoint.

    Args:
      state: a tree of arrays.
      step: at which it is saved.
      config: see `canon.config_identity.digest`.
      progress: what is saved with it, as JSON.
    """
    content = {
        "step": step,
        "config": config,
        "versions": environment.versions(),
        "progress": _of_json(progress),
        "leaves": leaves(state),
    }
    return content | {_CHECKSUM: _of_json(content)}


def leaves(state: Any) -> dict[str, list]:
    """(shape, dtype, CRC-32 of its bytes) of every leaf, by its path: `params/fc1/kernel`."""
    found = jax.tree_util.tree_leaves_with_path(jax.device_get(state))
    return {
        _name(path): [*_kind(leaf), zlib.crc32(np.ascontiguousarray(leaf))]
        for path, leaf in ((path, np.asarray(leaf)) for path, leaf in found)
    }


def check(manifest: Any, step: int) -> None:
    """Raises `Damaged` unless a manifest is whole, and that of a checkpoint of this step."""
    try:
        content = dict(manifest)
        if content.pop(_CHECKSUM) != _of_json(content):
            raise Damaged("its manifest is not what was saved")
        if content["step"] != step:
            raise Damaged(f"its manifest is of step {content['step']}")
    except (TypeError, ValueError, KeyError) as error:
        raise Damaged("it has no manifest that can be read") from error


def check_content(manifest: Manifest, state: Any, progress: Any) -> None:
    """Raises `Damaged` unless a state, or a part of it, and the progress are what the manifest was made of."""
    found, expected = leaves(state), manifest["leaves"]
    tops = {name.partition("/")[0] for name in found}
    wanted = {name: leaf for name, leaf in expected.items() if name.partition("/")[0] in tops}
    wrong = [name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)]
    if wrong or not found:
        raise Damaged(f"{min(wrong, default='its state')} is not what was saved")
    if _of_json(progress) != manifest["progress"]:
        raise Damaged("its record of the time and of the metrics is not what was saved")


def differences(manifest: Manifest, template: Any) -> list[str]:
    """What a checkpoint holds that a tree of arrays, or of their shapes, does not, and the other way round.

    Parameters come first: what an optimizer keeps of each of them differs with them.
    """
    here = {_name(path): _kind(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(template)}
    there = {name: leaf[:2] for name, leaf in manifest["leaves"].items()}
    shown = {name: f"{kind[1]}{kind[0]}" for name, kind in here.items()}
    return [
        f"{name} is {f'{there[name][1]}{there[name][0]}' if name in there else 'missing'} there, "
        f"{shown.get(name, 'missing')} here"
        for name in sorted(here.keys() | there.keys(), key=lambda name: (not name.startswith("params/"), name))
        if here.get(name) != there.get(name)
    ]


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _kind(leaf: Any) -> list:
    return [list(leaf.shape), str(leaf.dtype)]


def _of_json(value: Any) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode())
