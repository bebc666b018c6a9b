"""Choosing among candidates on validation data, before an arm's runs begin.

Each candidate has trials: one run for each fold of the training split, or a single one on examples held out of it. No
trial looks at the test split. The candidate with the lowest mean of `selection.metric` is taken, and the arm's own runs
train with it on the whole training split.

WORKDIR/ARM/trials/CANDIDATE/fold-N/     one trial, as a run's folder
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from canon.errors import UserError
from canon.study import plan
from canon.study.plan import Run
from canon.training import measures
from canon.training.result import DIVERGED, STEPS_TO_TARGET, read_result

TRIALS_FOLDER = "trials"
FIRST_SEED = 1_000_000
"""Trials have seeds of their own: a choice is judged by runs that it was not made on."""


@dataclass(frozen=True)
class Choice:
    """What an arm's trials came to.

    Attributes:
      candidate: the one that is taken; None while trials are missing.
      scores: by candidate the metric of each trial that has ended.
    """

    candidate: str | None
    scores: dict[str, list[float]]

    @property
    def all_diverged(self) -> bool:
        """Whether each candidate has a trial that diverged: then none can be taken in earnest."""
        return all(math.inf in scores for scores in self.scores.values())

    def summary(self) -> dict[str, Any]:
        """The choice's entry in `verdict.json`."""
        candidates = {}
        for name, scores in self.scores.items():
            spread = float(np.std(scores, ddof=1)) if len(scores) > 1 and np.isfinite(scores).all() else math.nan
            candidates[name] = {"n": len(scores), "mean": float(np.mean(scores or math.nan)), "std": spread}
        return {"chosen": self.candidate, "candidates": candidates}


def check(config: ConfigDict) -> None:
    """Raises `UserError` unless trials can be run as `config` asks."""
    if not config.candidates:
        return
    for name, changes in config.candidates.items():
        if not isinstance(changes, ConfigDict):
            raise UserError(f"config.candidates.{name} takes the fields that it sets, not {changes!r}")
        plan.check_name("a candidate", name)
    if config.data.folds:
        raise UserError("config.data.folds does not go with config.candidates; set config.selection.folds")
    folds, metric = config.selection.folds, config.selection.metric
    # How far and how fast a network trains can be what is compared; then nothing has to be held out.
    of_training = (*(f"train/{name}" for name in measures.names(config.task, "train")), STEPS_TO_TARGET)
    allowed = (*(f"validation/{name}" for name in measures.names(config.task, "validation")), *of_training)
    if folds < 0 or folds == 1:
        raise UserError(f"config.selection.folds must be 0, or 2 or more, not {folds}")
    held_out = config.data.validation_examples or config.data.validation_split
    if not folds and not held_out and metric not in of_training:
        raise UserError(
            "config.candidates need something to be compared on: set config.selection.folds or "
            "config.data.validation_examples or config.data.validation_split"
        )
    if folds and held_out:
        raise UserError(
            "config.selection.folds and config.data.validation_examples (or validation_split) both hold examples out: "
            "leave one of them"
        )
    if folds and config.task != "classification":
        raise UserError("config.selection.folds is for images to classify; use config.data.validation_split")
    if metric not in allowed:
        raise UserError(f"config.selection.metric must be one of {', '.join(allowed)}, not {metric!r}")
    if metric == STEPS_TO_TARGET and not config.train.target_error:
        raise UserError("config.selection.metric=steps_to_target needs config.train.target_error")
    for name, arm in plan.arm_configs(config).items():
        for candidate in config.candidates:
            try:
                _with(config, arm, candidate)
            except UserError as error:
                raise UserError(f"arm {name}, candidate {candidate}: {error}") from error


def trials(config: ConfigDict, workdir: Path, arm: str) -> list[Run]:
    """Every trial of an arm, each candidate on one fold before any on the next."""
    folds = range(max(config.selection.folds, 1))
    return [
        Run(arm, fold, workdir / arm / TRIALS_FOLDER / candidate / f"fold-{fold}", candidate)
        for fold in folds
        for candidate in config.candidates
    ]


def trial_config(config: ConfigDict, trial: Run, workdir: Path) -> ConfigDict:
    """The config of a trial: it sees no test split, leaves out its fold, and gives up where it cannot be chosen.

    Of trials of speed, one for each candidate, none goes on beyond the steps that the fastest before it needed: what it
    is then known to need at least is enough to pass it over.
    """
    arm = _with(config, plan.arm_configs(config)[trial.arm], trial.candidate)
    data = {"test_split": "", "folds": config.selection.folds, "fold": trial.seed if config.selection.folds else 0}
    changes = {"data": data}
    if config.selection.metric == STEPS_TO_TARGET and arm.train.stop_at_target and not config.selection.folds:
        fastest = _fastest_before(config, trial, workdir)
        if fastest < min(arm.train.steps, arm.train.give_up_after or arm.train.steps):
            changes["train"] = {"give_up_after": int(fastest)}
    return plan.merge(arm, ConfigDict(changes))


def _fastest_before(config: ConfigDict, trial: Run, workdir: Path) -> float:
    """The fewest steps that one of an arm's trials before this one needed."""
    needed = math.inf
    for other in trials(config, workdir, trial.arm):
        if other == trial:
            break
        result = read_result(other.directory)
        if result is not None and result.status != DIVERGED:
            needed = min(needed, result.metrics[STEPS_TO_TARGET])
    return needed


def chosen_config(config: ConfigDict, arm: str, candidate: str) -> ConfigDict:
    """The config of an arm's runs with what it chose, on the whole training split."""
    chosen = _with(config, plan.arm_configs(config)[arm], candidate)
    return plan.merge(chosen, ConfigDict({"data": {"validation_examples": 0}}))


def choose(config: ConfigDict, workdir: Path, arm: str) -> Choice:
    """What the trials of an arm say so far. Of candidates that are equally good the first is taken."""
    scores: dict[str, list[float]] = {candidate: [] for candidate in config.candidates}
    planned = trials(config, workdir, arm)
    sign = -1 if measures.larger_is_better(config.task, config.selection.metric) else 1
    for trial in planned:
        result = read_result(trial.directory)
        if result is not None:
            score = sign * math.inf if result.status == DIVERGED else result.metrics[config.selection.metric]
            scores[trial.candidate].append(score)
    if sum(map(len, scores.values())) < len(planned):
        return Choice(None, scores)
    return Choice(min(scores, key=lambda name: sign * np.mean(scores[name])), scores)


def _with(config: ConfigDict, arm: ConfigDict, candidate: str) -> ConfigDict:
    return plan.merge(arm, config.candidates[candidate])
