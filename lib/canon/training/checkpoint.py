"""Checkpoints of a run, through Orbax: the train state, and what the loop had not written down yet."""

import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from canon.errors import UserError
from canon.training.state import TrainState


class Checkpoints:
    """The checkpoints in one folder, of which the latest two are kept.

    Saving goes on in the background; `close` waits for it. Orbax writes a checkpoint aside and renames it when it is
    whole, so one that a kill cut short is not seen again.
    """

    def __init__(self, directory: Path):
        self._manager = ocp.CheckpointManager(
            directory.absolute(),
            options=ocp.CheckpointManagerOptions(max_to_keep=2, create=True),
            item_names=("state", "progress"),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: Any) -> None:
        self._manager.close()

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None where there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState, progress: dict[str, Any]) -> None:
        """Saves the state at its own step, unless that is saved already, together with what JSON can hold."""
        step = int(state.step)
        if step != self._manager.latest_step():
            progress = progress | {_CHECKSUMS: _checksums(state)}
            self._manager.save(
                step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress))
            )

    def restore(self, template: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The newest checkpoint, in the shapes and places of `template`.

        Raises:
          UserError: there is none, it is damaged, or it holds another tree of arrays than the template.
        """
        step = self.latest_step()
        if step is None:
            raise UserError(f"there is no checkpoint in {self._manager.directory}")
        where = f"the checkpoint of step {step} in {self._manager.directory}"
        way_out = "move its folder away to go on from the one before"
        try:
            restored = self._manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(template), progress=ocp.args.JsonRestore())
            )
            expected = restored.progress.pop(_CHECKSUMS)
        except Exception as error:  # Orbax and TensorStore raise whatever they come across
            reason = str(error).strip().split("\n")[0]
            raise UserError(f"{where} cannot be restored ({reason}); {way_out}") from error
        found = _checksums(restored.state)
        damaged = [leaf for leaf in expected.keys() | found.keys() if expected.get(leaf) != found.get(leaf)]
        if damaged:
            raise UserError(f"{where} is damaged: {min(damaged)} is not what was saved; {way_out}")
        return restored.state, restored.progress

    def restore_params(self) -> dict[str, Any]:
        """The parameters of the newest checkpoint, for whoever has no template of the rest; errors as of `restore`."""
        step = self.latest_step()
        if step is None:
            raise UserError(f"there is no checkpoint in {self._manager.directory}")
        where = f"the checkpoint of step {step} in {self._manager.directory}"
        try:
            # In its own file of the checkpoint's folder, without the places of the devices that it was saved from.
            folder = self._manager.directory / str(step)
            tree = ocp.PyTreeCheckpointer()
            shapes = tree.metadata(folder / "state").item_metadata.tree
            as_arrays = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
            params = tree.restore(folder / "state", restore_args=as_arrays)["params"]
            progress = self._manager.restore(step, args=ocp.args.Composite(progress=ocp.args.JsonRestore())).progress
            expected = progress[_CHECKSUMS]
        except Exception as error:  # as above
            reason = str(error).strip().split("\n")[0]
            raise UserError(
                f"{where} cannot be restored ({reason}); move its folder away to use the one before"
            ) from error
        found = {f".params{leaf}": checksum for leaf, checksum in _checksums(params).items()}
        damaged = [leaf for leaf, checksum in found.items() if expected.get(leaf) != checksum]
        if damaged or not found:
            raise UserError(f"{where} is damaged: {min(damaged, default='params')} is not what was saved")
        return jax.tree.map(jax.numpy.asarray, params)


# Orbax reads an array with a flipped bit without a word, so every leaf's checksum is kept beside it.
_CHECKSUMS = "crc32"


def _checksums(state: Any) -> dict[str, int]:
    """The CRC-32 of every leaf's bytes, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(state))
    return {jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(leaf)) for path, leaf in leaves}
