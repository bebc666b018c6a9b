"""`report.html`: a study on one page that carries its pictures with it and loads nothing."""

import base64
import math
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from canon import config as canon_config
from canon import files
from canon.study import figures, plan
from canon.study.verdict import conclude, read_results
from canon.study.workdir import Study

REPORT_FILE = "report.html"


def number(value: float | None, metric: str = "") -> str:
    """A metric's value as a reader wants it: error rates in %, steps whole, the rest with three significant digits."""
    if value is None:
        return "–"
    if metric == "step":
        return f"{value:,.0f}"
    return f"{100 * value:.2f}%" if metric.endswith("error") else f"{value:.3g}"


def amount(value: float, metric: str) -> str:
    """A difference between two values of a metric, with its sign and unit: `+1.50 points` of an error rate."""
    shown = f"{100 * value:+.2f} points" if metric.endswith("error") else f"{value:+.4g}"
    return shown.replace("-", "−")


def difference(claim: dict[str, Any]) -> str:
    """A claim's paired difference with its interval, in words."""
    if claim["paired_difference"] is None:
        return f"no finite mean (n = {claim['n']})" if claim["n"] else "not judged yet, no pair of runs has ended"

    def shown(value: float) -> str:
        return f"×{math.exp(value):.3g}" if claim["ratio"] else amount(value, claim["metric"])

    text = shown(claim["paired_difference"])
    if claim["interval_95"] is not None:
        low, high = map(shown, claim["interval_95"])
        text += f", 95% interval {low.removesuffix(' points')} to {high.removesuffix(' points')}"
    margin = f"; holds above {amount(-claim['tolerance'], claim['metric'])}" if claim["tolerance"] else ""
    few = "; an interval needs two seeds or more" if claim["n"] == 1 else ""
    return f"{text} (n = {claim['n']}{margin}{few})"


def write(study: Study, workdir: Path) -> dict[str, Any]:
    """Judges the study in `workdir`, and writes its verdict, figures and report. Returns the verdict."""
    verdict = conclude(study, workdir)
    pictures = figures.write(study.config, workdir)
    results = read_results(study.config, workdir)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "amount": amount, "difference": difference}
    template = environment.from_string(resources.files(__package__).joinpath("report.html.jinja").read_text())
    page = template.render(
        verdict=verdict,
        figures={title: base64.b64encode(path.read_bytes()).decode() for title, path in pictures.items()},
        runs=[(arm, seed, result) for arm, seeds in results.items() for seed, result in seeds.items()],
        fields=canon_config.flatten(study.config),
        metric_of_selection=study.config.selection.metric,
        metrics=_names(verdict, "last_step"),
        best_metrics=_names(verdict, "best_on_validation"),
    )
    files.write(workdir / REPORT_FILE, page)
    return verdict


def _names(verdict: dict[str, Any], section: str) -> list[str]:
    """The metrics that any arm has in a section of its summary; of what was recorded, those that a claim is about."""
    claimed = {claim["metric"] for claim in verdict["claims"].values()}
    names = dict.fromkeys(name for arm in verdict["arms"].values() for name in arm[section])
    return [name for name in names if not name.startswith(plan.RECORDED) or name in claimed]
