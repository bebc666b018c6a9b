"""Watching a study: a live table on a terminal, and elsewhere a plain line now and then."""

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from canon.study.plan import Run
from canon.training import measures, stopwatch
from canon.training.result import DIVERGED, SPLITS, Result, read_result

_MEASURED = {name for of_task in measures.MEASURED.values() for name in of_task}


class Clock:
    """How long the rest of a study will take, from what this launch has seen of each arm."""

    def __init__(self, runs: Sequence[Run]):
        self._done = dict.fromkeys(runs, 0.0)  # of the runs that are left, the share that is done
        self._begun: set[Run] = set()
        self._are_together = False
        self._seconds: dict[str, float] = {}  # a whole run of the arm

    def saw(self, arm: str, seconds: float) -> None:
        """A whole run of `arm` takes about this long."""
        self._seconds[arm] = seconds

    def began(self, run: Run) -> None:
        self._begun.add(run)
        # Who trains the runs of one arm at the same time does so with all arms.
        self._are_together |= len(self._begun) > 1

    def did(self, run: Run, share: float) -> None:
        """So much of a run is done."""
        if run in self._done:
            self._done[run] = share

    def ended(self, run: Run) -> None:
        self._begun.discard(run)
        self._done.pop(run, None)

    def left(self) -> float | None:
        """Seconds; None while nothing is known.

        An arm that has not been seen yet is taken to need what the others need on average. Runs of an arm that are
        trained at the same time take as long as the last of them.
        """
        if not self._seconds or not self._done:
            return None
        average = sum(self._seconds.values()) / len(self._seconds)
        groups: dict[tuple[str, int | None], list[float]] = {}
        for run, share in self._done.items():
            group = run.arm, run.seed if run.candidate else None  # of trials those of one fold
            groups.setdefault(group, []).append((1 - share) * self._seconds.get(run.arm, average))
        return sum(map(max if self._are_together else sum, groups.values()))


def minutes(seconds: float) -> str:
    """1:05, or 2:01:05."""
    seconds = round(seconds)
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


class Progress:
    """An observer of a study that prints. Enter it before the first run; it is done when it is left.

    Args:
      runs: all the runs of this launch, in their order.
      console: where to print; the default is standard output.
      every: seconds between two plain lines at the least.
      in_turn: whether they are trained one after another; else nobody can say how long it will take.
    """

    def __init__(self, runs: Sequence[Run], console: Console | None = None, every: float = 10.0, in_turn: bool = True):
        self._in_turn = in_turn
        self._runs = list(runs)
        self._console = console or Console()
        self._every = every
        self._clock = Clock([run for run in runs if read_result(run.directory) is None])
        self._cells = dict.fromkeys(runs, "·")
        self._status = ""
        self._run = runs[0]
        self._began = self._printed = time.monotonic()
        self._step = self._steps = 0
        self._at: dict[Run, tuple[int, int]] = {}  # where the other runs are, when several are trained together
        self._to_compile: set[Run] = set()
        self._continued: set[Run] = set()  # begun by an earlier launch
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=2)

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._status = ""
            self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def noted(self, text: str) -> None:
        self.say(text)

    def run_began(self, run: Run, is_compiled: bool) -> None:
        self.turned_to(run)
        if not is_compiled:
            self._to_compile.add(run)
        self._clock.began(run)
        self._step = self._steps = 0
        self._cells[run] = "starting"
        self._status = f"{run.title}: starting"

    def turned_to(self, run: Run) -> None:
        if run != self._run:
            self._at[self._run] = self._step, self._steps
            self._run, (self._step, self._steps) = run, self._at.get(run, (0, 0))

    def started(self, step: int, steps: int) -> None:
        self._step, self._steps = step, steps
        self._clock.did(self._run, step / steps)
        self._cells[self._run] = f"step {step}"
        what = f"goes on at step {step} of {steps}" if step else f"begins; {steps} steps"
        if step:
            self._continued.add(self._run)
        if self._run in self._to_compile:
            what += "; its network is compiled first"
        self._status = f"{self._run.title}: {what}"
        self._line(self._status)
        self._printed = time.monotonic()

    def evaluating(self, step: int, split: str, examples: int) -> None:
        self._status = f"{self._run.title}: step {step}, evaluating {examples:,} {split} examples"
        if time.monotonic() - self._printed >= self._every:
            self._line(self._status)
            self._printed = time.monotonic()

    def recorded(self, step: int, values: dict[str, float]) -> None:
        self._step = step
        self._clock.did(self._run, step / self._steps if self._steps else 0.0)
        if "speed/step_seconds" in values:
            self._clock.saw(self._run.arm, values["speed/step_seconds"] * self._steps)
        if "batch/loss" not in values:
            return
        self._cells[self._run] = f"{step}/{self._steps}"
        self._status = (
            f"{self._run.title}: step {step} of {self._steps}, "
            f"loss {values['batch/loss']:.3f}, error {100 * values['batch/error']:.1f}%{self._time_left()}"
        )
        if time.monotonic() - self._printed >= self._every:
            self._line(self._status)
            self._printed = time.monotonic()

    def run_ended(self, run: Run, result: Result) -> None:
        self._clock.ended(run)
        error = f"{100 * result.metrics['train/error']:.2f}%"
        self._cells[run] = error if result.status == "finished" else "diverged"
        fresh = self._steps > 0
        if fresh:
            self._clock.saw(run.arm, result.seconds)
        self._step = 0
        how = result.status
        if result.status == DIVERGED:
            how += f" at step {result.step} (not finite: {result.not_finite})"
        in_all = " in all launches" if run in self._continued else ""
        when = f" after {minutes(result.seconds)}{in_all}" if fresh else " before this launch"
        whole = {name: value for name, value in result.metrics.items() if name.startswith(SPLITS)}
        of_text = {name: f"{value:.3f}" for name, value in whole.items() if name.endswith("/bits_per_character")}
        measured = {
            name: f"{value:.4g}" for name, value in whole.items() if name.startswith("test/") and name[5:] in _MEASURED
        }
        errors = {name: f"{100 * value:.2f}%" for name, value in whole.items() if name.endswith("/error")}
        shown = ", ".join(f"{name} {value}" for name, value in ((of_text or errors) | measured).items())
        where = stopwatch.describe(result.parts, result.seconds) if fresh else ""
        self._status = f"{run.title}: {how}{when}{f' ({where})' if where else ''}; {shown}{self._time_left()}"
        self._line(self._status)

    def _time_left(self) -> str:
        left = self._clock.left() if self._in_turn else None
        return "" if left is None or left < 0.5 else f"; about {minutes(left)} left"

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            print(text, file=self._console.file or sys.stdout, flush=True)

    def _render(self) -> Table:
        shown = [run for run in self._runs if not run.candidate]
        arms = list(dict.fromkeys(run.arm for run in shown))
        seeds = list(dict.fromkeys(run.seed for run in shown))
        grid = Table(box=None, pad_edge=False, show_edge=False)
        grid.add_column("training error", style="bold")
        for seed in seeds:
            grid.add_column(f"seed {seed}", justify="right", min_width=8)
        for arm in arms:
            grid.add_row(
                arm,
                *(self._cells.get(run, "") for seed in seeds for run in shown if (run.arm, run.seed) == (arm, seed)),
            )
        page = Table.grid()
        page.add_row(grid)
        page.add_row(Text(f"{minutes(time.monotonic() - self._began)}  {self._status}", style="dim"))
        return page
