"""The verdict on a study: its runs, read back from the workdir, against its claims."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from canon import config_identity, files
from canon.errors import UserError, did_you_mean
from canon.study import plan, selection, statistics
from canon.study.workdir import Study
from canon.training.result import Result, read_result

VERDICT_FILE = "verdict.json"

# Fields that say how a study is described, watched or stored, and nothing of what it computes.
_NOT_PROTOCOL = (
    "title", "cost", "arguments", "deviations", "figure", "claims", "arms", "seeds",
    *config_identity.WITHOUT_EFFECT, "parallel", "train.log_every", "train.evaluate_every",
    "train.evaluation_batch_size",
)  # fmt: skip

Results = dict[str, dict[int, Result]]
"""By arm and seed; only the runs that have ended."""


def read_results(config: ConfigDict, workdir: Path) -> Results:
    """How the runs in a workdir ended, so far."""
    results: Results = {arm: {} for arm in config.arms}
    for run in plan.runs(config, workdir):
        result = read_result(run.directory)
        if result is not None:
            results[run.arm][run.seed] = result
    return results


def judge(claim: ConfigDict, results: Results) -> dict[str, Any]:
    """A claim's entry in `verdict.json`: the paired difference over the seeds that both arms have, and the verdict.

    Of a claim about a ratio, differences are those of natural logarithms.
    """
    higher, lower = results[claim.higher], results[claim.lower]
    seeds = sorted(higher.keys() & lower.keys())
    pairs = [(_metric(higher[seed], claim), _metric(lower[seed], claim)) for seed in seeds]
    with np.errstate(invalid="ignore", divide="ignore"):  # both diverged: inf − inf is nan, which `compare` knows
        pairs = np.log(pairs) if claim.ratio else pairs
        differences = [float(np.subtract(a, b)) for a, b in pairs]
    comparison = statistics.compare(differences, threshold=-claim.tolerance)
    sign = f"-{claim.tolerance:g}" if claim.tolerance else "0"
    how = "minus" if not claim.ratio else "over"
    sign = "1" if claim.ratio else sign
    return {
        "statement": claim.statement,
        "metric": claim.metric,
        "direction": f"{claim.metric} of {claim.higher} {how} that of {claim.lower} is above {sign}",
        "higher": claim.higher,
        "lower": claim.lower,
        "tolerance": claim.tolerance,
        "ratio": claim.ratio,
        "n": comparison.n,
        "seeds": seeds,
        "differences": differences,
        "paired_difference": comparison.mean,
        "interval_95": comparison.interval,
        "published": claim.published,
        "source": claim.source,
        "verdict": comparison.verdict,
    }


def _metric(result: Result, claim: ConfigDict) -> float:
    if claim.metric not in result.metrics:
        recorded = sorted(name for name in result.metrics if name.startswith(plan.RECORDED))
        nearest = did_you_mean(claim.metric, recorded)
        raise UserError(f"no run recorded {claim.metric!r}{nearest}, of which a claim speaks")
    return result.metrics[claim.metric]


def _selection(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    if not config.candidates:
        return {}
    return {arm: selection.choose(config, workdir, arm).summary() for arm in config.arms}


def _seconds_of_trials(config: ConfigDict, workdir: Path) -> float:
    if not config.candidates:
        return 0.0
    trials = [read_result(t.directory) for arm in config.arms for t in selection.trials(config, workdir, arm)]
    return sum(trial.seconds for trial in trials if trial is not None)


def summarize(results: dict[int, Result]) -> dict[str, Any]:
    """An arm's entry in `verdict.json`: every metric at the last step, and at the best step on validation."""
    finished = [r for r in results.values() if r.status == "finished"]
    return {
        "n": len(results),
        "diverged": sorted(seed for seed, r in results.items() if r.status == "diverged"),
        "last_step": _spread([r.metrics for r in results.values()]),
        "best_on_validation": _spread([r.best_on_validation for r in finished if r.best_on_validation]),
        "seconds": sum(r.seconds for r in results.values()),
        "compile_seconds": sum(r.compile_seconds for r in results.values()),
    }


def _spread(metrics: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    if not metrics:
        return {}
    shared = [name for name in metrics[0] if all(name in m for m in metrics)]
    columns = {name: np.array([m[name] for m in metrics]) for name in shared}
    with np.errstate(invalid="ignore"):
        return {
            name: {"mean": float(v.mean()), "std": float(v.std(ddof=1)) if len(v) > 1 else float("nan")}
            for name, v in columns.items()
        }


def deviations(study: Study) -> list[str]:
    """Every way in which the study differs from the paper's protocol: by fields, and by what the experiment adds."""
    listed = list(study.config.deviations)
    if study.protocol is None:
        return listed
    shared_arms = tuple(f"arms.{arm}." for arm in study.config.arms if arm in study.protocol.arms)
    for key, (ours, theirs) in config_identity.differences(study.config, study.protocol).items():
        if key.startswith(shared_arms) or not key.startswith(_NOT_PROTOCOL):
            listed.append(f"{key} is {_shown(ours)}; the paper's protocol has {_shown(theirs)}.")
    return listed


def _environment(results: Results) -> dict[str, Any]:
    """Versions and hardware as the runs have them; and where runs differ in that, every combination with its runs."""
    runs = [(f"{arm}/seed-{seed}", result) for arm, seeds in results.items() for seed, result in seeds.items()]
    combinations: list[dict[str, Any]] = []
    for name, result in runs:
        own = {"versions": result.versions, "hardware": result.hardware}
        same = next((c for c in combinations if own.items() <= c.items()), None)
        if same is None:
            combinations.append(same := own | {"runs": []})
        same["runs"].append(name)
    first = combinations[0] if combinations else {"versions": {}, "hardware": {}}
    return {
        "versions": first["versions"],
        "hardware": first["hardware"],
        "environments": combinations if len(combinations) > 1 else [],
    }


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)


def conclude(study: Study, workdir: Path) -> dict[str, Any]:
    """Reads the runs back, judges every claim, and writes and returns `verdict.json`."""
    verdict = reach(study, workdir)
    files.write_json(workdir / VERDICT_FILE, verdict)
    return verdict


def reach(study: Study, workdir: Path) -> dict[str, Any]:
    """Reads the runs back and judges every claim: what `verdict.json` holds."""
    config = study.config
    results = read_results(config, workdir)
    claims = {name: judge(claim, results) for name, claim in config.claims.items()}
    arms = {arm: summarize(of_arm) for arm, of_arm in results.items()}
    ended = sum(arm["n"] for arm in arms.values())
    verdict = {
        "experiment": study.experiment,
        "argument": study.argument,
        "title": config.title,
        "paper": config.paper,
        "verdict": statistics.overall([claim["verdict"] for claim in claims.values()]),
        "runs": {"ended": ended, "planned": config.seeds * len(config.arms)},
        "claims": claims,
        "arms": arms,
        "selection": _selection(config, workdir),
        "deviations": deviations(study),
        **_environment(results),
        "seconds": sum(arm["seconds"] for arm in arms.values()) + _seconds_of_trials(config, workdir),
        "date": datetime.date.today().isoformat(),
        "command": study.command,
    }
    return files.finite(verdict)
