"""The steps since the last line of metrics."""

import time
from typing import Any

import jax
import numpy as np

from canon.training.metrics import Mean, Metrics, means


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

    def close(self, step: int, batch_size: int) -> tuple[dict[str, float], int | None]:
        """Waits for `step`, and begins the next window.

        Returns:
          The means over the window, with the speed; and the first step in it whose loss is not finite, or None.
        """
        values = means(self._metrics, prefix="batch/")
        finite = np.isfinite(jax.device_get([metrics["loss"].total for metrics in self._metrics]))
        not_finite = None if finite.all() else step - len(finite) + 1 + int(finite.argmin())
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
