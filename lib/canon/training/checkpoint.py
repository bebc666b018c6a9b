"""Checkpoints of a run, through Orbax: the train state, and what the loop had not written down yet."""

from pathlib import Path
from typing import Any

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
            self._manager.save(
                step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress))
            )

    def restore(self, template: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The newest checkpoint, in the shapes and places of `template`.

        Raises:
          UserError: there is none, or it holds another tree of arrays than the template.
        """
        step = self.latest_step()
        if step is None:
            raise UserError(f"there is no checkpoint in {self._manager.directory}")
        try:
            restored = self._manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(template), progress=ocp.args.JsonRestore())
            )
        except (ValueError, KeyError, TypeError, OSError) as error:
            reason = str(error).strip().split("\n")[0]
            raise UserError(
                f"the checkpoint of step {step} in {self._manager.directory} cannot be restored ({reason}); "
                f"move its folder away to go on from the one before"
            ) from error
        return restored.state, restored.progress
