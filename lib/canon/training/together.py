"""Several runs, such as those of the seeds of an arm, step by step together.

Each run has its loop, in a thread of its own; when all of them want a step, one program takes it for all, or each asks
for its own, and a CPU computes them at the same time. Only one thread is awake at any time, so that nothing else
has to know of the others: each run evaluates, records, saves, diverges or ends by itself, and those that are left go
on.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from canon.training import loop, parallel
from canon.training.profile import Profile
from canon.training.program import Program
from canon.training.result import Result


@dataclass(frozen=True)
class Member:
    """One run of a group.

    Attributes:
      seed: of every random number.
      directory: the run's folder.
      observer: told of what happens to this run.
      program: what it trains; all ways but `vmap` take members that train different ones, such as with different
        rates.
    """

    seed: int
    directory: Path
    observer: loop.Observer
    program: Program


def train(
    members: Sequence[Member],
    strategy: str,
    should_stop: Callable[[], bool] = lambda: False,
    profile: Profile | None = None,
) -> list[Result]:
    """Trains runs to the end of each; see `loop.train` for what a run does.

    Args:
      members: the runs.
      strategy: `concurrent`, each step for itself, and all of them at the same time: a small network leaves much of
        two cores idle. Or `unroll` or `vmap`: see `parallel.jit_many`.
      should_stop, profile: see `loop.train`.

    Returns:
      The result of each.

    Raises:
      Interrupted: `should_stop` said yes; the runs that had not ended are saved.
      Exception: what went wrong in one of them; in one process the others that have begun are saved after their step.
    """
    steps = _Steps([member.program for member in members], strategy)
    results: list[Result | None] = [None] * len(members)
    errors: list[BaseException] = []

    def one_should_stop() -> bool:
        asked = should_stop()  # in every process alike, whatever has happened in one of them
        return asked or (bool(errors) and jax.process_count() == 1)

    def live(number: int, member: Member) -> None:
        with steps.turn:
            try:
                if one_should_stop():
                    raise loop.Interrupted(0)  # nothing to save: it has not begun
                take = functools.partial(steps.take, number)
                its = member.seed, member.directory, member.observer
                results[number] = loop.train(member.program, *its, one_should_stop, profile, take, steps.asleep)
            except BaseException as error:  # raised again in the thread that waits
                errors.append(error)
            finally:
                steps.leave(number)

    threads = [
        threading.Thread(target=live, args=each, daemon=True, name=f"seed {each[1].seed}")
        for each in enumerate(members)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        # What went wrong, before a stop; and of stops the one that came furthest.
        raise min(errors, key=lambda error: (isinstance(error, loop.Interrupted), -getattr(error, "step", 0)))
    return results


class _Steps:
    """Where the runs of a group meet, to take a step together.

    Attributes:
      turn: held by the one thread that is awake.
    """

    def __init__(self, programs: Sequence[Program], strategy: str):
        self.turn = threading.Condition()
        self._programs = programs
        self._strategy = strategy
        self._compiled: dict[Any, Callable] = {}
        self._present = set(range(len(programs)))
        self._wanted: dict[int, tuple[Any, Any]] = {}
        self._taken: dict[int, Any] = {}
        self._begun = [0] * len(programs)

    def take(self, number: int, state: Any, batch: Any) -> Any:
        """The step of one run; returns when all runs that are there have wanted one."""
        return (self._take_alone if self._strategy == "concurrent" else self._take_as_one)(number, state, batch)

    def _take_alone(self, number: int, state: Any, batch: Any) -> Any:
        train_step = self._programs[number].train_step
        if not self._begun[number]:
            with self.asleep():  # while it is compiled ahead the others make their first states
                train_step.wait()
        # JAX computes what one thread asks for in that order, and what several do at the same time.
        outcome = train_step(state, batch)
        self._begun[number] += 1
        self.turn.notify_all()
        # Nobody gets ahead, or the one that waits for its results would keep the others from asking for theirs.
        self.turn.wait_for(lambda: all(self._begun[other] >= self._begun[number] for other in self._present))
        return outcome

    def _take_as_one(self, number: int, state: Any, batch: Any) -> Any:
        self._wanted[number] = state, batch
        self._take_if_all_want()
        while number not in self._taken:
            self.turn.wait()
        outcome = self._taken.pop(number)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    @contextlib.contextmanager
    def asleep(self) -> Iterator[None]:
        """Within, another thread may be awake."""
        self.turn.release()
        try:
            yield
        finally:
            self.turn.acquire()

    def leave(self, number: int) -> None:
        """The run has ended; the others do not wait for it any more."""
        self._present.discard(number)
        self._take_if_all_want()
        self.turn.notify_all()

    def _take_if_all_want(self) -> None:
        if not self._wanted or self._wanted.keys() != self._present:
            return
        wanted, self._wanted = self._wanted, {}
        # Runs whose batches are of one shape: those of different lengths have programs of their own.
        alike: dict[Any, list[int]] = {}
        for number in sorted(wanted):
            leaves = jax.tree.leaves(wanted[number][1])
            alike.setdefault(tuple(jax.numpy.shape(leaf) for leaf in leaves), []).append(number)
        for numbers in alike.values():
            try:
                outcomes = self._step(numbers, *zip(*(wanted[number] for number in numbers), strict=True))
            except Exception as error:  # it is every run's
                outcomes = [error] * len(numbers)
            self._taken |= dict(zip(numbers, outcomes, strict=True))
        self.turn.notify_all()

    def _step(self, numbers: list[int], states: tuple, batches: tuple) -> list[Any]:
        programs = [self._programs[number] for number in numbers]
        first = programs[0]
        if len(numbers) == 1:
            return [first.train_step(states[0], batches[0])]
        key = (*map(id, programs), jax.tree.structure(batches[0]))
        if key not in self._compiled:
            steps = [program.step for program in programs]
            deterministic = first.config.parallel.deterministic
            self._compiled[key] = parallel.jit_many(steps, first.mesh, batches[0], self._strategy, deterministic)
        return list(zip(*self._compiled[key](states, batches), strict=True))
