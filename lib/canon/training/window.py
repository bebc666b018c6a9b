"""The steps since the last line of metrics."""

import math
import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from canon.training.metrics import Mean, Metrics, fetch, means
from canon.training.step import FIRST_NOT_FINITE


@dataclass(frozen=True)
class NotFinite:
    """Where a run was lost.

    Attributes:
      step: whose loss, gradient or update is the first that is not finite.
      loss: whether the loss is not.
      leaf: see `canon.training.step.FIRST_NOT_FINITE`; None where it is the loss alone.
    """

    step: int
    loss: bool
    leaf: int | None


class Window:
    """Gathers the metrics of steps on the device, and fetches them together when a line is due.

    A checkpoint can fall inside a window: `pack` gives what it holds in a form that JSON keeps exactly, so that a run
    that is resumed there writes the same line as one that was not.
    """

    def __init__(self, step: int, packed: list[dict[str, list[float]]] = ()):
        """Args: step: where the run is now. packed: what the window of a former launch held at that step."""
        self._metrics: list[Metrics] = [
            {name: Mean(np.float32(total), np.float32(count)) for name, (total, count) in metrics.items()}
            for metrics in packed
        ]
        self.restart_clock(step)

    def restart_clock(self, step: int) -> None:
        """Measures speed from here: what went before was not training."""
        self._clock_step, self._clock_began = step, time.perf_counter()

    def add(self, metrics: Metrics) -> None:
        """Takes the metrics of one step, without waiting for it."""
        self._metrics.append(metrics)

    def not_finite(self, step: int) -> NotFinite | None:
        """Waits for `step`: the first in the window at which something was not finite, or None."""
        both = fetch([m[name].total for name in ("loss", FIRST_NOT_FINITE) for m in self._metrics])
        losses, leaves = both[: len(self._metrics)], both[len(self._metrics) :]
        for number, (loss, leaf) in enumerate(zip(losses, leaves, strict=True), start=step - len(losses) + 1):
            if not math.isfinite(loss) or leaf != -1:
                return NotFinite(number, not math.isfinite(loss), None if leaf == -1 else int(leaf))
        return None

    def close(self, step: int, batch_size: int) -> tuple[dict[str, float], NotFinite | None]:
        """Waits for `step`, and begins the next window.

        Returns:
          The means over the window, with the speed; and see `not_finite`.
        """
        not_finite = self.not_finite(step)
        values = means(self._metrics, prefix="batch/")
        del values[f"batch/{FIRST_NOT_FINITE}"]
        steps = step - self._clock_step
        if steps:
            seconds = (time.perf_counter() - self._clock_began) / steps
            values |= {"speed/step_seconds": seconds, "speed/examples_per_second": batch_size / seconds}
        self._metrics = []
        self.restart_clock(step)
        return values, not_finite

    def pack(self) -> list[dict[str, Any]]:
        """What it holds, as lists and numbers."""
        fetched = jax.device_get(self._metrics)
        return [{name: [float(m.total), float(m.count)] for name, m in metrics.items()} for metrics in fetched]
