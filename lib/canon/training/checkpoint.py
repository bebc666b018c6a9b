"""Checkpoints of a run, through Orbax: the train state, and what the loop had not written down yet."""

import errno
import gc
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from canon import files, hosts, unraisable
from canon.errors import UserError
from canon.training import manifest as manifests
from canon.training.manifest import Damaged, Manifest
from canon.training.state import TrainState

DAMAGED_FOLDER = "damaged"
"""Beside the folder of the checkpoints: those that were found damaged, out of the way of new ones."""


class Checkpoints:
    """The checkpoints in one folder, each with a manifest by which it is checked before it is believed.

    Saving goes on in the background; `close` waits for it. Orbax writes a checkpoint aside and renames it when it is
    whole, so one that a kill cut short is not seen again.

    Args:
      directory: the folder.
      config: of the run, as `canon.config_identity.digest` has it; empty for whoever only reads.
      keep: how many are kept, the latest ones; 0 for whoever only reads, and leaves the folder as it is.
    """

    def __init__(self, directory: Path, config: str = "", keep: int = 0):
        self._directory = directory.absolute()
        self._config = config
        self._keep = keep
        self._open()

    def _open(self) -> None:
        writes = {"max_to_keep": self._keep, "create": True, "cleanup_tmp_directories": True}  # of those cut short
        changes = writes if self._keep else {"read_only": True, "create": False}
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(**changes),
            item_handlers={
                _STATE: _state_handler(),
                _PROGRESS: ocp.JsonCheckpointHandler(),
                _MANIFEST: ocp.JsonCheckpointHandler(),
            },
        )
        self._identity = os.stat(self._directory)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self._manager.close()
        except Exception as failure:
            if error[0] is None:  # else the first thing that went wrong is the one to tell of
                raise self._not_saved(failure) from failure

    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, damaged or not, in order."""
        return sorted(int(path.name) for path in self._directory.iterdir() if path.is_dir() and _is_step(path.name))

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None where there is none."""
        return max(self.steps(), default=None)

    def save(self, state: TrainState, progress: dict[str, Any]) -> None:
        """Saves the state at its own step, unless that is saved already, together with what JSON can hold.

        Raises:
          OSError: this one, or the one before, cannot be written.
        """
        step = int(state.step)
        if step == self._manager.latest_step():
            return
        if not files.is_still(self._directory, self._identity):  # Orbax makes it again, and the run would seem whole
            raise FileNotFoundError(errno.ENOENT, "the run's folder was removed", str(self._directory))
        items = {
            _STATE: ocp.args.PyTreeSave(state),
            _PROGRESS: ocp.args.JsonSave(progress),
            _MANIFEST: ocp.args.JsonSave(manifests.make(state, step, self._config, progress)),
        }
        try:
            is_taken = self._manager.save(step, args=ocp.args.Composite(**items))
        except Exception as failure:
            raise self._not_saved(failure) from failure
        if not is_taken:
            raise self._not_saved(RuntimeError(f"there is one of a step above {step}"))

    def wait(self) -> None:
        """Returns when all is written that is to be saved; errors as of `save`."""
        try:
            self._manager.wait_until_finished()
        except Exception as failure:
            raise self._not_saved(failure) from failure

    def forget_after(self, step: int) -> None:
        """Removes the checkpoints of later steps: a run that went back comes to them again."""
        if any(later > step for later in self.steps()):
            self._manager.close()
            if hosts.is_first():
                for later in self.steps():
                    if later > step:
                        shutil.rmtree(self._directory / str(later))
            hosts.wait_for_all("later checkpoints are removed")
            self._open()

    def _not_saved(self, failure: Exception) -> OSError:
        reason = str(failure).strip().split("\n")[0][:300] or type(failure).__name__
        full = "No space left" in str(failure) or getattr(failure, "errno", None) == errno.ENOSPC
        what = "the disk is full" if full else reason
        kept = self.steps() if self._directory.is_dir() else []
        before = f"; the one of step {kept[-1]} is kept" if kept else ""
        return OSError(errno.EIO, f"a checkpoint cannot be written ({what}){before}", str(self._directory))

    def restore(
        self, template: TrainState, say: Callable[[str], None] = lambda text: None
    ) -> tuple[TrainState, dict[str, Any]]:
        """The newest checkpoint that is whole, in the shapes and places of `template`: each leaf has a sharding.

        Newer ones that are damaged are moved to `DAMAGED_FOLDER`, and said to be. Whoever only reads gets no other than
        the newest.

        Raises:
          UserError: there is none, none is whole, or the newest is of another config or another tree of arrays.
        """
        tried: list[str] = []
        damaged: list[int] = []
        for step in reversed(self.steps()):
            found, reason = None, "another process cannot read it"
            try:
                found = self._restore(step, template)
            except Damaged as error:
                reason = str(error)
            if not hosts.all_say(found is not None):
                if not self._keep:
                    raise self._newest_is_damaged(step, reason)
                tried.append(f"the checkpoint of step {step} is damaged: {reason}")
                damaged.append(step)
                continue
            if damaged:
                self._set_aside(damaged)
                say(f"{'; '.join(tried)}; it was moved to {self._directory.parent / DAMAGED_FOLDER}, and the run goes "
                    f"on from step {step}")  # fmt: skip
            return found
        if not tried:
            raise UserError(f"there is no checkpoint in {self._directory}")
        raise UserError(
            f"no checkpoint in {self._directory} is whole ({'; '.join(tried)}); remove the run's folder, "
            f"{self._directory.parent}, to train it from its beginning"
        )

    def _restore(self, step: int, template: TrainState) -> tuple[TrainState, dict[str, Any]]:
        manifest = self._read_manifest(step)
        where = f"the checkpoint of step {step} in {self._directory}"
        self._check_config(manifest, step)
        if different := manifests.differences(manifest, template):
            more = f", and {len(different) - 3} more" if len(different) > 3 else ""
            raise UserError(f"{where} is of another network: {'; '.join(different[:3])}{more}")
        into = ocp.args.PyTreeRestore(template, ocp.checkpoint_utils.construct_restore_args(template))
        items = {_STATE: into, _PROGRESS: ocp.args.JsonRestore()}
        restored = _read(lambda: self._manager.restore(step, args=ocp.args.Composite(**items)))
        manifests.check_content(manifest, restored[_STATE], restored[_PROGRESS])
        return restored[_STATE], restored[_PROGRESS]

    def _check_config(self, manifest: Manifest, step: int) -> None:
        if self._config and manifest["config"] != self._config:
            raise UserError(
                f"the checkpoint of step {step} in {self._directory} was made by another config than the run has; "
                "remove it, or bring its config back"
            )

    def _read_manifest(self, step: int) -> Manifest:
        args = ocp.args.Composite(**{_MANIFEST: ocp.args.JsonRestore()})
        manifest = _read(lambda: self._manager.restore(step, args=args)[_MANIFEST])
        manifests.check(manifest, step)
        return manifest

    def _set_aside(self, steps: list[int]) -> None:
        hosts.wait_for_all("damaged checkpoints")
        self._manager.close()
        if hosts.is_first():
            folder = self._directory.parent / DAMAGED_FOLDER
            folder.mkdir(exist_ok=True)
            for step in steps:
                number = sum(1 for path in folder.iterdir() if path.name.partition(".")[0] == str(step))
                os.rename(self._directory / str(step), folder / (f"{step}.{number}" if number else str(step)))
        hosts.wait_for_all("damaged checkpoints are set aside")
        self._open()

    def verify(self, step: int) -> tuple[Manifest, dict[str, Any]]:
        """Reads a whole checkpoint; returns its manifest, and what was saved with it as JSON.

        Raises:
          Damaged: it is not what was saved.
        """
        manifest = self._read_manifest(step)
        args = ocp.args.Composite(**{_PROGRESS: ocp.args.JsonRestore()})
        progress = _read(lambda: self._manager.restore(step, args=args)[_PROGRESS])
        state = _read(lambda: self._as_arrays(step))
        manifests.check_content(manifest, state, progress)
        if missing := {name.partition("/")[0] for name in manifest["leaves"]} - set(state):
            raise Damaged(f"{min(missing)} is missing")
        return manifest, progress

    def restore_params(self) -> dict[str, Any]:
        """The parameters of the newest checkpoint, for whoever has no template of the rest.

        Raises:
          UserError: there is none, or it is damaged.
        """
        step = self.latest_step()
        if step is None:
            raise UserError(f"there is no checkpoint in {self._directory}")
        try:
            manifest, _ = self.verify(step)
            self._check_config(manifest, step)
            params = self._as_arrays(step)["params"]
        except Damaged as reason:
            raise self._newest_is_damaged(step, str(reason)) from reason
        return jax.tree.map(jax.numpy.asarray, params)

    def _newest_is_damaged(self, step: int, reason: str) -> UserError:
        before = (
            "; move its folder away to use the one before" if self.steps()[0] < step else ", and it is the only one"
        )
        return UserError(f"the checkpoint of step {step} in {self._directory} is damaged: {reason}{before}")

    def _as_arrays(self, step: int) -> dict[str, Any]:
        """The state as NumPy arrays: without a template, and without the devices that it was saved from."""
        folder = self._directory / str(step) / _STATE
        tree = ocp.PyTreeCheckpointer()
        shapes = tree.metadata(folder).item_metadata.tree
        return tree.restore(
            folder, restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
        )


_STATE, _PROGRESS, _MANIFEST = "state", "progress", "manifest"


def _state_handler() -> ocp.PyTreeCheckpointHandler:
    """Orbax's for trees of arrays, without two things that it writes beside each array by default.

    The devices that it was on, a third of all work: a state is restored to where its template says. And its shape and
    kind, by which Orbax compares the arrays of several processes: the manifest has them, and checksums.
    """
    kinds = (jax.Array, ocp.type_handlers.ArrayHandler(enable_write_sharding_file=False))
    registry = ocp.type_handlers.create_type_handler_registry(kinds, (np.ndarray, ocp.type_handlers.NumpyHandler()))
    return ocp.PyTreeCheckpointHandler(type_handler_registry=registry)


_NOT_OF_THE_FILE = (
    "Cannot allocate memory", "Out of memory", "Permission denied", "RESOURCE_EXHAUSTED", "Stale file handle",
    "Too many open files",
)  # fmt: skip
"""What an error says that is none of the checkpoint: it is there, and cannot be read for now."""


def _is_step(name: str) -> bool:
    return name.isascii() and name.isdigit() and str(int(name)) == name


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]


def _read(what: Callable[[], Any]) -> Any:
    """What Orbax reads; raises `Damaged` for whatever it and TensorStore come across.

    Of the arrays that it reads side by side Orbax gives up all when one fails; what has been begun would complain of
    that on standard error, as it is collected or comes back.
    """
    try:
        return what()
    except MemoryError:
        raise
    except Exception as error:
        reason = _first_line(error)
        if any(word in str(error) for word in _NOT_OF_THE_FILE) or isinstance(error, PermissionError):
            raise OSError(errno.EIO, f"a checkpoint cannot be read now ({reason})") from error
        unraisable.drop_closed_loops()
        hook = sys.unraisablehook
        sys.unraisablehook = lambda unraisable: None
        traceback.clear_frames(error.__traceback__)
    # The error is gone, and what it held with it.
    try:
        time.sleep(0.05)
        gc.collect()
    finally:
        sys.unraisablehook = hook
    raise Damaged(reason)
