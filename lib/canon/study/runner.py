"""Training the runs of a study, one after another, or those of an arm, and its trials, together."""

import contextlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from ml_collections import ConfigDict

from canon import hosts
from canon.errors import UserError, did_you_mean
from canon.study import plan, selection, workdir
from canon.study.plan import Run
from canon.training import loop, parallel, program, strategy, together
from canon.training.ahead import Ahead, is_possible
from canon.training.profile import Profile
from canon.training.program import Program
from canon.training.result import Result, read_result


class StudyObserver(loop.Observer, Protocol):
    """Someone who watches a study: told which run begins and how it ended, and of what happens in between."""

    def run_began(self, run: Run, is_compiled: bool) -> None:
        """It begins, or ended before; `is_compiled`: its network is, or will be for a run that began before."""

    def turned_to(self, run: Run) -> None:
        """What is told next is of this run, which has begun: several are trained together."""

    def run_ended(self, run: Run, result: Result) -> None: ...


class Nobody(loop.Nobody):
    """An observer of a study that looks away."""

    def run_began(self, run: Run, is_compiled: bool) -> None: ...

    def turned_to(self, run: Run) -> None: ...

    def run_ended(self, run: Run, result: Result) -> None: ...


class Programs:
    """The programs of a study's runs and trials. Building them reads data, and compiles and writes nothing.

    Args:
      config: of the study.
      workdir: where its trials are.
    """

    def __init__(self, config: ConfigDict, workdir: Path):
        self._config = config
        self._workdir = workdir
        self._built: dict[str, Program] = {}  # by arm: runs that differ by seed share one, and its compiled steps

    def check(self, arms: Collection[str]) -> None:
        """Builds what the arms begin with, so that a mistake in one of them shows before anything is written.

        Raises:
          UserError: something in the config does not exist or does not fit, or a claim is of what no run records.
        """
        for arm in arms:
            if self._config.candidates:
                for trial in selection.trials(self._config, self._workdir, arm):
                    if trial.seed == 0:
                        program.build(selection.trial_config(self._config, trial, self._workdir))
                first = program.build(selection.chosen_config(self._config, arm, next(iter(self._config.candidates))))
            else:
                first = self._of_arm(arm)
            self._check_claims(arm, first)

    def _check_claims(self, arm: str, its_program: Program) -> None:
        for name, claim in self._config.claims.items():
            prefix, _, metric = claim.metric.partition("/")
            if f"{prefix}/" not in plan.RECORDED or arm not in (claim.higher, claim.lower):
                continue
            if metric not in (recorded := its_program.recorded()):
                raise UserError(
                    f"claim {name}: the arm {arm} records no {claim.metric!r}{did_you_mean(metric, recorded)} "
                    f"(it records: {', '.join(sorted(recorded))})"
                )

    def build(self, run: Run) -> Program:
        """The program of a run; of an arm with candidates, once its trials have ended."""
        if run.candidate:
            self._built.clear()  # a trial's program is wanted once
            return program.build(selection.trial_config(self._config, run, self._workdir))
        return self._of_arm(run.arm)

    def _of_arm(self, arm: str) -> Program:
        if arm not in self._built:
            config = plan.arm_configs(self._config)[arm]
            if self._config.candidates:
                choice = selection.choose(self._config, self._workdir, arm)
                if choice.all_diverged:
                    raise UserError(f"every candidate of the arm {arm} diverged in a trial; give it others")
                config = selection.chosen_config(self._config, arm, choice.candidate)
            self._built[arm] = program.build(config)
        return self._built[arm]


def planned(config: ConfigDict, workdir: Path, arms: Collection[str]) -> list[Run]:
    """What there is to train of some arms, in order: the trials of each, where there are candidates, and all runs."""
    trials = [t for arm in arms for t in selection.trials(config, workdir, arm)] if config.candidates else []
    return trials + [run for run in plan.runs(config, workdir) if run.arm in arms]


def run(
    runs: Sequence[Run],
    build: Callable[[Run], Program],
    observer: StudyObserver,
    should_stop: Callable[[], bool] = lambda: False,
    profile: Profile | None = None,
) -> None:
    """Trains `runs` in their order; of those that have ended the observer is told first.

    Args:
      runs: see `planned`.
      build: the program of a run; see `Programs.build`.
      observer: told of all that happens.
      should_stop: asked after every step.
      profile: of some steps of the first run that takes them, where one is wanted.

    Raises:
      loop.Interrupted: `should_stop` said yes; the run that was under way is saved.
    """
    left = _unfinished(runs, observer)
    begun: set[str] = set()  # arms of which the program is compiled, or being compiled
    step = 0
    with Ahead() as ahead:
        while left:
            ahead.wait(should_stop)  # it may be this one, and what is measured here is measured alone
            if step and should_stop():  # not before the first: a launch is to come further
                raise loop.Interrupted(step)
            way, group = _group(left, build)
            now = [run for run, _ in group]
            # Not beside what is profiled; and what follows a trial may depend on how it ends.
            if not profile and not left[0].candidate and is_possible(group[0][1]):
                _compile_ahead(ahead, left, begun, build)
            step = _train(group, way, runs, observer, should_stop, profile).step
            left = [run for run in left if run not in now]


def _unfinished(runs: Sequence[Run], observer: StudyObserver) -> list[Run]:
    """The runs that have not ended; the observer is told of the others."""
    left = []
    for run in runs:
        result = read_result(run.directory)
        hosts.check_same("results", f"{run.directory.name} {result is None}")
        if result is None:
            left.append(run)
        else:
            observer.run_began(run, is_compiled=True)
            observer.run_ended(run, result)
    return left


def _compile_ahead(ahead: Ahead, left: Sequence[Run], begun: set[str], build: Callable[[Run], Program]) -> None:
    """Begins to compile the arm of `left[0]` and the one after it, unless they are in `begun`, and adds them."""
    programs = []
    following = next((run for run in left if run.arm != left[0].arm), None)
    for run in filter(None, (left[0], following)):
        if run.arm not in begun:
            begun.add(run.arm)
            with contextlib.suppress(UserError):  # it is said when the run's turn comes
                programs.append(build(run))
    ahead.begin(*filter(is_possible, programs))


Built = tuple[Run, Program]


def _group(left: Sequence[Run], build: Callable[[Run], Program]) -> tuple[str, list[Built]]:
    """How the first of the runs that are left is trained, and which with it: see `config.parallel.seeds`."""
    first, program = left[0], build(left[0])
    way, alone = program.config.parallel.seeds, [(first, program)]
    # Trials of one fold are alike; of trials of speed each has to know how fast those before it were.
    together_with = (first.arm, first.seed) if first.candidate else (first.arm,)
    alike = [
        run
        for run in left[1:]
        if bool(run.candidate) == bool(first.candidate) and (run.arm, run.seed)[: len(together_with)] == together_with
    ]
    if way == "concurrent" and not parallel.is_concurrent(program.config.parallel, program.mesh):
        way = "sequential"  # to the same bits
    if way == "sequential" or not alike or (first.candidate and program.config.train.stop_at_target):
        return "sequential", alone
    kept = (first.directory.parents[1] if first.candidate else first.directory.parent) / strategy.FILE
    if way == "auto" and strategy.kept(kept) == "sequential":
        return "sequential", alone
    others = [(run, build(run)) for run in alike]
    group = alone + [(run, its) for run, its in others if its.config.parallel == program.config.parallel]
    if way == "auto":
        way = strategy.choose([its for _, its in group], kept)
    if way == "vmap" and first.candidate:
        way = "unroll"  # what a candidate sets is part of its step
    return way, alone if way == "sequential" else group


def _train(
    group: Sequence[Built],
    way: str,
    runs: Sequence[Run],
    observer: StudyObserver,
    should_stop: Callable[[], bool],
    profile: Profile | None,
) -> Result:
    """Trains the runs of a group; the result of the last."""
    members = []
    for run, its in group:
        seed = run.seed + selection.FIRST_SEED if run.candidate else run.seed
        if its.checksums:
            for other in runs:  # all seeds of an arm learn the same
                if other.arm == run.arm and (other.directory / workdir.TEXT_FILE).exists():
                    workdir.check_text(other.directory, its.vocabularies, its.checksums)
        if hosts.is_first():
            workdir.write_run_config(run.directory, run.arm, seed, its.config)
            if its.checksums:
                workdir.keep_text(run.directory, its.vocabularies, its.checksums)
        members.append(together.Member(seed, run.directory, _OfRun(observer, run), its))
    for number, member in enumerate(members):
        is_shared = any(member.program is before.program for before in members[:number])
        member.observer.began(is_shared or member.program.is_compiled)
    if len(members) == 1:
        (only,) = members
        results = [loop.train(only.program, only.seed, only.directory, only.observer, should_stop, profile)]
    else:
        results = together.train(members, way, should_stop, profile)
    for member, result in zip(members, results, strict=True):
        member.observer.ended(result)
    return results[-1]


class _OfRun:
    """An observer of one run among those that are trained together."""

    def __init__(self, observer: StudyObserver, run: Run):
        self._observer = observer
        self._run = run

    def began(self, is_compiled: bool) -> None:
        self._observer.run_began(self._run, is_compiled)

    def ended(self, result: Result) -> None:
        self._observer.turned_to(self._run)
        self._observer.run_ended(self._run, result)

    def started(self, step: int, steps: int) -> None:
        self._observer.turned_to(self._run)
        self._observer.started(step, steps)

    def evaluating(self, step: int, split: str, examples: int) -> None:
        self._observer.turned_to(self._run)
        self._observer.evaluating(step, split, examples)

    def recorded(self, step: int, values: dict[str, float]) -> None:
        self._observer.turned_to(self._run)
        self._observer.recorded(step, values)

    def noted(self, text: str) -> None:
        self._observer.turned_to(self._run)
        self._observer.noted(f"{self._run.title}: {text}")
