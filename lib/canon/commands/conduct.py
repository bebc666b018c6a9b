"""Conducting a study: from an experiment and what a user wants of it to the verdict."""

import contextlib
import math
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from canon import cluster, experiment_file, hosts, lock, models
from canon import config as canon_config
from canon.cluster import Resources
from canon.commands import runtime, spread
from canon.commands.arguments import Experiment
from canon.commands.progress import Progress
from canon.commands.signals import StopSignals
from canon.errors import UserError
from canon.hosts import Place
from canon.study import plan, report, runner, selection, workdir
from canon.study.verdict import VERDICT_FILE
from canon.training import find_not_finite
from canon.training.loop import Interrupted
from canon.training.profile import Profile
from canon.training.result import DIVERGED, read_result


def conduct(
    experiment: Experiment,
    typed: str,
    overrides: list[tuple[str, str]],
    directory: Path | None,
    arms: str | None,
    place: Place | None = None,
    profile: Profile | None = None,
    resources: Resources | None = None,
    max_minutes: float = math.inf,
    debug_nans: bool = False,
) -> int:
    """Trains the runs of a study that are still to train, and judges its claims.

    Args:
      experiment: the experiment file and its argument.
      typed: how the user named it.
      overrides: of config fields, as (dotted key, text).
      directory: the workdir, or None for the default.
      arms: the arms to train now, separated by commas, or None for all.
      place: of this process among those that train together; None to find out.
      profile: of some steps of the first run that takes them.
      resources: of the jobs that train, where this process does not.
      max_minutes: after which it stops by itself, everything saved.
      debug_nans: say of each run that diverged by which operation.

    Returns:
      The exit status.

    Raises:
      UserError: something does not exist or does not fit; nothing was written.
    """
    deadline = time.monotonic() + 60 * max_minutes
    config = configure(experiment, overrides)
    argument = "" if config.arguments[:1] == (experiment.argument,) else experiment.argument
    typed_words = ["launch.py", "run", typed, *([f"--workdir={directory}"] if directory else [])]
    directory = directory or Path("runs") / "-".join(filter(None, [experiment.name, argument]))
    chosen = _choose(arms, config)
    protocol = plan.complete(experiment_file.load(experiment.path, config.protocol)) if config.protocol else None
    command = shlex.join([*typed_words, *(f"--config.{key}={text}" for key, text in overrides)])
    study = workdir.Study(experiment.name, argument, config, protocol, command)
    runtime.start()
    if resources is None:
        hosts.join(place)
    else:
        cluster.check(resources, directory)
    with hosts.leaving_at_once():
        if debug_nans and hosts.several():
            raise UserError("--debug_nans is for one process: launch it alone, once the runs have ended")
        return _conduct(study, overrides, directory, chosen, profile, resources, deadline, debug_nans)


def _conduct(
    study: workdir.Study,
    overrides: list[tuple[str, str]],
    directory: Path,
    chosen: list[str],
    profile: Profile | None,
    resources: Resources | None,
    deadline: float,
    debug_nans: bool,
) -> int:
    config = study.config
    here = config if resources is None else spread.on_any_device(config)
    try:
        workdir.check(directory, config)
    except UserError:
        runner.Programs(here, directory).check(config.arms)  # where it is wrong in itself, that is the better answer
        raise
    # All arms, the chosen and the others, so that a mistake in one of them shows before anything is written.
    programs = runner.Programs(here, directory)
    unfinished = dict.fromkeys(r.arm for r in plan.runs(config, directory) if read_result(r.directory) is None)
    hosts.check_same("runs that have ended", " ".join(unfinished))
    programs.check(unfinished)

    longest = max(arm.train.steps for arm in plan.arm_configs(config).values())
    if profile and profile.last > longest:
        raise UserError(f"--profile={profile.first}-{profile.last}: no run has more than {longest} steps")
    hosts.wait_for_all("the beginning of a study")  # every process has looked at the workdir as it was
    with _alone(directory, config) if hosts.is_first() else contextlib.nullcontext():
        if hosts.is_first():
            workdir.create(directory, study)
        return _train(study, overrides, directory, chosen, profile, resources, programs, deadline, debug_nans)


@contextlib.contextmanager
def _alone(directory: Path, config: ConfigDict) -> Iterator[None]:
    """While it is entered, no other launch can have the workdir, which is made if need be."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir {directory} cannot be written: {error.strerror}") from error
    with lock.held(directory):
        workdir.check(directory, config)  # again: another launch may have had it meanwhile
        yield


def _train(
    study: workdir.Study,
    overrides: list[tuple[str, str]],
    directory: Path,
    chosen: list[str],
    profile: Profile | None,
    resources: Resources | None,
    programs: runner.Programs,
    deadline: float,
    debug_nans: bool,
) -> int:
    config = study.config
    hosts.wait_for_all("the workdir of a study")
    if hosts.several():  # the launch's own words differ from process to process, but not what the first has written
        hosts.check_same("workdir", workdir.fingerprint(directory))
    if not hosts.is_first():
        return _follow(runner.planned(config, directory, chosen), programs, deadline)

    runs = runner.planned(config, directory, chosen)
    print(config.title or study.experiment)
    counts = _count(len(chosen), "arm"), _count(config.seeds, "seed"), _count(len(chosen) * config.seeds, "run")
    trials = len(runs) - len(chosen) * config.seeds
    before = f", after {_count(trials, 'trial')} of {_count(len(config.candidates), 'candidate')}" if trials else ""
    print(f"{counts[0]} × {counts[1]} = {counts[2]}{before}, in {directory}", flush=True)
    for key, _ in overrides:
        others = [name for name in _arms_that_set(key, config) if name.partition(" ")[0] in chosen]
        if key.partition(".")[0] in plan.RUN_FIELDS and others:
            shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
            print(f"--config.{key} is not for {shown}, which have that of their own, or none", flush=True)
    if resources:
        return _wait(study, directory, runs, resources)
    with StopSignals() as stop_signals:
        try:
            with Progress(runs) as progress:
                runner.run(runs, programs.build, progress, _stop_at(deadline, stop_signals), profile)
        except Interrupted as interruption:
            status = _status_of_stop(stop_signals, deadline)
            why = "" if status else "time is up: "
            print(f"{why}{interruption} and saved; the same command goes on from there")
            return status
    announce(report.write(study, directory), directory)
    if debug_nans:
        _explain(runs, programs)
    if profile:
        print(f"trace:   {profile.written or 'none: no run of this launch took all of those steps'}")
    return 0


def _wait(study: workdir.Study, directory: Path, runs: list[plan.Run], resources: Resources) -> int:
    """Has jobs train; returns the exit status."""
    try:
        failures = spread.train(study.config, study.experiment, directory, runs, resources)
    except spread.Left as left:
        print(left)
        return 128 + left.number
    announce(report.write(study, directory), directory)
    if failures:
        which = "a job" if len(failures) == 1 else f"{len(failures)} jobs"
        print(f"canon: {which} ended before the runs did: {failures[0]}", file=sys.stderr)
    return 1 if failures else 0


def _stop_at(deadline: float, stop_signals: StopSignals) -> Callable[[], bool]:
    return hosts.any_says(lambda: stop_signals() or time.monotonic() >= deadline)


_MOST_APART = 60.0
"""Seconds by which the deadlines of processes that were launched together may differ."""


def _status_of_stop(stop_signals: StopSignals, deadline: float) -> int:
    """The exit status of a launch that was stopped: 0 by its time, or the signal's, which may be another process's."""
    if stop_signals.number is None and time.monotonic() >= deadline - _MOST_APART:
        return 0
    return 128 + (stop_signals.number or signal.SIGTERM)


def _explain(runs: list[plan.Run], programs: runner.Programs) -> None:
    for run in runs:
        result = read_result(run.directory)
        if result is not None and result.status == DIVERGED and not run.candidate:
            found = find_not_finite.operation(programs.build(run).config, run.seed, run.directory, result.step)
            print(f"{run.title}, step {result.step}: {found}", flush=True)


def _follow(runs: list[plan.Run], programs: runner.Programs, deadline: float) -> int:
    """Trains with the first process, which writes and prints; returns the exit status."""
    with StopSignals() as stop_signals:
        try:
            runner.run(runs, programs.build, runner.Nobody(), _stop_at(deadline, stop_signals))
        except Interrupted:
            return _status_of_stop(stop_signals, deadline)
    return 0


def configure(experiment: Experiment, overrides: list[tuple[str, str]]) -> ConfigDict:
    """The experiment's config, complete, with the overrides of the command line, and checked as far as it can be alone.

    Raises:
      UserError: the experiment or a field does not exist, or a value does not fit.
    """
    config = plan.complete(experiment_file.load(experiment.path, experiment.argument))
    for key, text in sorted(overrides, key=lambda override: not override[0].endswith(".name")):
        config = plan.override(config, key, text)
    models.create(**config.model)
    plan.check_claims(config)
    plan.runs(config, Path())
    selection.check(config)
    arms = _arms_and_candidates(config)
    for key, _ in overrides:
        is_of_runs = any(key in arm for arm in arms.values()) or key.partition(".")[0] in plan.NAMED_SECTIONS
        if is_of_runs and len(_arms_that_set(key, config)) == len(arms):
            raise UserError(
                f"--config.{key} would have no effect, because every arm sets it; "
                f"set it for an arm: --config.arms.{next(iter(config.arms))}.{key}=VALUE"
                if not config.candidates
                else f"--config.{key} would have no effect, because every arm or candidate sets it"
            )
    return config


def _arms_and_candidates(config: ConfigDict) -> dict[str, dict[str, Any]]:
    """The fields of every arm, with every candidate where there are any, by their dotted names."""
    arms = plan.arm_configs(config)
    if config.candidates:
        arms = {f"{a} {c}": plan.merge(arm, config.candidates[c]) for a, arm in arms.items() for c in config.candidates}
    return {name: canon_config.flatten(arm) for name, arm in arms.items()}


def _arms_that_set(key: str, config: ConfigDict) -> list[str]:
    """The arms that have another value of a field than the study has, or do not have the field."""
    wanted = canon_config.flatten(config)
    return [name for name, arm in _arms_and_candidates(config).items() if key not in arm or arm[key] != wanted[key]]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _choose(text: str | None, config: ConfigDict) -> list[str]:
    """The arms to train now."""
    chosen = list(config.arms) if text is None else list(dict.fromkeys(arm.strip() for arm in text.split(",")))
    for arm in chosen:
        plan.check_arm(config, arm)
    return chosen


def announce(verdict: dict[str, Any], directory: Path) -> None:
    """Prints a verdict, claim by claim, and where its files are."""
    print(f"\nverdict: {verdict['verdict']} ({verdict['runs']['ended']} of {verdict['runs']['planned']} runs)")
    for claim in verdict["claims"].values():
        print(f"  {claim['verdict']:13} {claim['statement']}")
        against = f"{claim['higher']} {'over' if claim['ratio'] else 'minus'} {claim['lower']}"
        print(f"  {'':13} {claim['metric']} of {against}: {report.difference(claim)}")
    for name, choice in verdict["selection"].items():
        if choice["chosen"]:
            print(f"  {name} took {choice['chosen']}")
    for name, arm in verdict["arms"].items():
        if arm["diverged"]:
            print(f"  diverged: {name}, seed {', '.join(map(str, arm['diverged']))}")
    print(f"report:  {directory / report.REPORT_FILE}\nnumbers: {directory / VERDICT_FILE}")
