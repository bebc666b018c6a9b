"""Comparing all that a study has left in its workdir with what it says of itself."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from canon import config_identity
from canon.errors import UserError
from canon.study import plan, runner, verdict, workdir
from canon.training import loop
from canon.training.checkpoint import Checkpoints
from canon.training.manifest import Damaged
from canon.training.recorder import METRICS_FILE, read_metrics
from canon.training.result import FINISHED, RESULT_FILE, Result, finished, read_result


@dataclass(frozen=True)
class Finding:
    """Something that was looked at.

    Attributes:
      subject: a run, a checkpoint, or the study.
      text: how it is.
      is_wrong: whether it is not as it should be.
    """

    subject: str
    text: str
    is_wrong: bool = False


def verify(directory: Path) -> Iterator[Finding]:
    """What there is to say of each run of a study, and of all that is wrong with it; reads only.

    Raises:
      UserError: the folder holds no study, or what says so is damaged.
    """
    study = workdir.read(directory)
    for run in runner.planned(study.config, directory, study.config.arms):
        if run.directory.is_dir():
            yield from _of_run(run)
        else:
            yield Finding(run.title, "not begun")
    yield from _of_verdict(study, directory)


def _of_run(run: plan.Run) -> Iterator[Finding]:
    def wrong(text: str) -> Finding:
        return Finding(run.title, text, is_wrong=True)

    identity, result, whole = "", None, {}
    try:
        arm, _, config = workdir.read_run_config(run.directory)
        identity = config_identity.digest(config)
        if arm != run.arm:
            yield wrong(f"{run.directory / workdir.RUN_FILE} is of the arm {arm}")
    except UserError as error:
        yield wrong(str(error))
    try:
        result = read_result(run.directory)
        yield from map(wrong, _recorded(run.directory, result))
    except UserError as error:
        yield wrong(str(error))
    steps: dict[str, list[int]] = {}
    for folder in (loop.CHECKPOINT_FOLDER, loop.BEST_FOLDER):
        steps[folder] = []
        for step, trouble in _checkpoints(run.directory / folder, identity):
            steps[folder].append(step)
            whole[folder] = whole.get(folder, 0) + (trouble is None)
            if trouble is not None:
                yield wrong(f"{run.directory / folder / str(step)} {trouble}")
    if result and result.status == FINISHED:
        if result.step not in steps[loop.CHECKPOINT_FOLDER]:
            yield wrong(f"the checkpoint of its last step, {result.step}, is missing")
        if steps[loop.BEST_FOLDER] and steps[loop.BEST_FOLDER] != [result.best_on_validation.get("step")]:
            yield wrong(f"{run.directory / loop.BEST_FOLDER} does not hold its best step on validation")
    state = f"{result.status} at step {result.step}" if result else "under way"
    latest = whole.get(loop.CHECKPOINT_FOLDER, 0)
    best = ", and the best" if whole.get(loop.BEST_FOLDER) else ""
    yield Finding(run.title, f"{state}; {latest} checkpoint{'' if latest == 1 else 's'}{best} whole")


def _checkpoints(folder: Path, identity: str) -> Iterator[tuple[int, str | None]]:
    """The step of each checkpoint in a folder, and what is wrong with it. The run may be under way, and remove some."""
    if not folder.is_dir():
        return
    with Checkpoints(folder) as checkpoints:
        for step in checkpoints.steps():
            trouble = None
            try:
                manifest, progress = checkpoints.verify(step)
            except Damaged as reason:
                if step not in checkpoints.steps():
                    continue
                trouble = f"is damaged: {reason}"
            else:
                lines = [line for line in read_metrics(folder.parent) if line["step"] <= step]
                if identity and manifest["config"] != identity:
                    trouble = "was made by another config than the run has"
                elif len(lines) != progress["lines"]:
                    trouble = f"saw {progress['lines']} lines of metrics, and there are {len(lines)} up to its step"
            yield step, trouble


def _recorded(directory: Path, result: Result | None) -> Iterator[str]:
    lines = read_metrics(directory)
    steps = [line["step"] for line in lines]
    if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
        yield f"the steps in {directory / METRICS_FILE} do not rise"
    if result and result.status == FINISHED:
        if not steps or steps[-1] != result.step:
            yield f"the metrics of its last step, {result.step}, are missing"
            return
        _, _, config = workdir.read_run_config(directory)
        again = finished(result.step, lines, result.seconds, result.compile_seconds, config.train)
        if (again.metrics, again.best_on_validation) != (result.metrics, result.best_on_validation):
            yield f"{directory / RESULT_FILE} is not what {METRICS_FILE} says"


def _of_verdict(study: workdir.Study, directory: Path) -> Iterator[Finding]:
    path = directory / verdict.VERDICT_FILE
    if not path.exists():
        yield Finding("verdict", "not written yet")
        return
    try:
        there = json.loads(path.read_text())
        now = json.loads(json.dumps(verdict.reach(study, directory)))
        is_older = there["runs"]["ended"] < now["runs"]["ended"]
        changed = there["runs"] != now["runs"] or there["claims"] != now["claims"]
    except (ValueError, KeyError, TypeError, UserError) as error:
        yield Finding("verdict", f"{path} cannot be compared with the runs ({error}); `launch.py report` writes it "
                      "again", is_wrong=True)  # fmt: skip
        return
    if is_older:
        ended = there["runs"]["ended"], now["runs"]["ended"]
        yield Finding(
            "verdict", f"of {ended[0]} runs, and {ended[1]} have ended; `launch.py report {directory}` judges again"
        )
    elif changed:
        text = f"{path} is not what the runs say now; `launch.py report {directory}` writes it again"
        yield Finding("verdict", text, is_wrong=True)
    else:
        yield Finding("verdict", there["verdict"])
