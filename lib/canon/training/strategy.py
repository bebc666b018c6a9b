"""Choosing how seeds, or trials, are trained, by measuring a few steps of each way: `parallel.seeds=auto`."""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import jax

from canon import files
from canon.errors import UserError
from canon.training import parallel
from canon.training.program import Program

FILE = "seeds.json"
"""In the folder of an arm: what was chosen, so that a study that goes on does so as it began."""

_STEPS = 5  # that are timed, after one that is compiled
_SHARE = 0.05  # of the time that all runs will take, which measuring another way may cost, or must promise to save
# How much there is to compile beside what one after another takes, in its time.
_COMPILE = {"concurrent": lambda members: 0, "unroll": lambda members: members, "vmap": lambda members: 1.5}


@dataclass(frozen=True)
class Speed:
    """Of one way: seconds to compile, and seconds for a step of all members."""

    compile: float
    step: float


def choose(programs: Sequence[Program], path: Path) -> str:
    """The way that takes the least time for a run of each program, as `path` says, or else as measured and kept.

    A way is not tried where that is likely to cost more than it can save.
    """
    if (chosen := kept(path)) is not None:
        return chosen
    steps = max(program.config.train.steps for program in programs)
    alike = all(program is programs[0] for program in programs)
    concurrent = parallel.is_concurrent(programs[0].config.parallel, programs[0].mesh)
    ways = (*(["concurrent"] if concurrent else []), "unroll", *(["vmap"] if alike else []))
    chosen, speeds = fastest(lambda way: measure(programs, way), len(programs), steps, ways)
    content = {"strategy": chosen, "measured": {way: vars(speed) for way, speed in speeds.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, content)
    return chosen


def kept(path: Path) -> str | None:
    """What was chosen before, or None. Raises `UserError` where `path` cannot be read."""
    return _read(path) if path.exists() else None


def fastest(
    measure: Callable[[str], Speed], members: int, steps: int, ways: Sequence[str] = ("concurrent", "unroll", "vmap")
) -> tuple[str, dict[str, Speed]]:
    """The fastest of `ways`, or `sequential` where none saves a twentieth of it; and the speeds that were measured."""
    speeds = {"sequential": measure("sequential")}
    one = speeds["sequential"]
    total = one.compile + steps * one.step
    best = "sequential"
    for way in ways:
        if _COMPILE[way](members) * one.compile + (1 + _STEPS) * one.step <= _SHARE * total:
            speeds[way] = measure(way)
            least = speeds[best].step * (1 - _SHARE if best == "sequential" else 1)
            best = way if speeds[way].step < least else best
    return best, speeds


def measure(programs: Sequence[Program], way: str) -> Speed:
    """The speed of one way, for one run of each program, on states that are made for it and thrown away.

    One after another, runs of one program take as long as each other: one of them is measured.
    """
    if way == "sequential" and len(programs) > 1 and all(program is programs[0] for program in programs):
        one = measure(programs[:1], way)
        return Speed(one.compile, len(programs) * one.step)
    states = [program.init(seed) for seed, program in enumerate(programs)]
    batches = [program.pipelines["train"].batch(seed, 0) for seed, program in enumerate(programs)]
    if way == "sequential":

        def step(states: list) -> list:
            return [p.train_step(*each)[0] for p, *each in zip(programs, states, batches, strict=True)]

    elif way == "concurrent":

        def step(states: list) -> list:
            with contextlib.ExitStack() as stack:  # each from a thread of its own, as in `canon.training.together`
                threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in programs]
                asked = [
                    thread.submit(program.train_step, *each)
                    for thread, program, *each in zip(threads, programs, states, batches, strict=True)
                ]
                return [each.result()[0] for each in asked]

    else:
        many = parallel.jit_many([program.step for program in programs], programs[0].mesh, batches[0], way)

        def step(states: list) -> list:
            return list(many(tuple(states), tuple(batches))[0])

    def timed(times: int) -> float:
        nonlocal states
        began = time.perf_counter()
        for _ in range(times):
            states = step(states)
        jax.block_until_ready(states)
        return time.perf_counter() - began

    first = timed(1)
    of_each = timed(_STEPS) / _STEPS
    return Speed(max(0.0, first - of_each), of_each)


def _read(path: Path) -> str:
    try:
        chosen = json.loads(path.read_text())["strategy"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{path} cannot be read; remove it to measure again") from error
    if chosen not in parallel.SEEDS or chosen == "auto":
        raise UserError(f"{path} names no way to train seeds: {chosen!r}; remove it to measure again")
    return chosen
