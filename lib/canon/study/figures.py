"""The figures of a report."""

import io
import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from ml_collections import ConfigDict

from canon import files
from canon.study import plan
from canon.training.recorder import read_metrics
from canon.training.result import DIVERGED, Result, read_result

FIGURES_FOLDER = "figures"

# Okabe and Ito's colours, which people with any colour vision can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def learning_curves(config: ConfigDict, workdir: Path) -> Figure:
    """Error against step, laid out like figure 6 of He et al. 2015: a panel for each kind of net, a colour for an arm.

    Dashed: the training error, over mini-batches as they come. Bold: the test error, over the whole split. Each line is
    the mean over the seeds; the band behind it reaches from the lowest to the highest. `figure.metric` can name another
    metric than the error.
    """
    metric = config.figure.metric
    to_target = config.train.stop_at_target  # of the training error; runs end before they are evaluated often
    panels = config.figure.panels or (tuple(config.arms),)
    # Of the split that the claims are about, where it is one that was held out.
    on_validation = any(claim.metric == f"validation/{metric}" for claim in config.claims.values())
    judged = "validation" if on_validation else "test"
    runs = plan.runs(config, workdir)
    figure = Figure(figsize=(1 + 4.6 * len(panels), 4.2), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, arms in zip(all_axes, panels, strict=True):
        for arm, colour in zip(arms, _COLOURS * len(arms), strict=False):
            seeds = [_recorded(run.directory) for run in runs if run.arm == arm]
            bold = not to_target and _draw(
                axes, seeds, f"{judged}/{metric}", colour, linestyle="-", linewidth=2.2, label=arm
            )
            _draw(
                axes, seeds, f"batch/{metric}", colour, label=None if bold else arm,
                linestyle="-" if to_target else "--", linewidth=1.6 if to_target else 1.0,
            )  # fmt: skip
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        last = max((line.get_xdata()[-1] for line in axes.lines), default=config.train.steps)
        axes.set_xlim(0, last if config.train.stop_at_target else config.train.steps)
        if config.train.target_error and metric == "error":
            axes.axhline(100 * config.train.target_error, color="0.35", linestyle=":", linewidth=1.0)
        axes.grid(alpha=0.25)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="best")
    ends = [line.get_ydata()[-1] for axes in all_axes for line in axes.lines]
    # A limit that suits the whole training would show nothing of its beginning.
    if metric == "error":
        all_axes[0].set_ylim(0, config.figure.error_limit if ends and max(ends) < config.figure.error_limit else 100)
    named = metric.replace("_", " ")
    all_axes[0].set_ylabel(f"{named} (%)" if metric.endswith("error") else named)
    styles = {line.get_linestyle() for axes in all_axes for line in axes.lines}
    dashed = [f"dashed: training {named} (mini-batches)"] if "--" in styles else []
    lines = [*dashed, f"bold: {judged} {named}"]
    if to_target:
        lines = [f"training {named} (mini-batches), until the target"]
    title = " · ".join([*lines, "bands: lowest to highest seed"])
    if len(title) > 15 * figure.get_figwidth():  # letters to an inch
        title = title.replace(" · ", "\n", 1)
    figure.suptitle(title, fontsize=9, color="0.35")
    return figure


def _recorded(directory: Path) -> tuple[list[dict], float]:
    """A run's lines, and the step at which it diverged (infinite where it did not)."""
    result = read_result(directory)
    return read_metrics(directory), result.step if result and result.status == DIVERGED else math.inf


def _draw(axes, seeds: list[tuple[list[dict], float]], key: str, colour: str, **style) -> bool:
    """The mean of a metric over the seeds at the steps that every seed has, and its range; whether there are any.

    A run that diverged stays on the figure: from there on its error is 1, as in its result. What has no largest value
    is drawn without that run from there on.
    """
    is_error = key.endswith("error")
    every_step = {line["step"] for lines, _ in seeds for line in lines if key in line}
    curves = []
    for lines, diverged_at in seeds:
        curve = {line["step"]: line[key] for line in lines if line.get(key) is not None and line["step"] < diverged_at}
        curve |= {step: 1.0 if is_error else math.nan for step in every_step if step >= diverged_at}
        curves += [curve] if curve else []
    steps = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    if not steps:
        return False
    values = (100 if is_error else 1) * np.array([[curve[step] for step in steps] for curve in curves])
    some = ~np.isnan(values).all(axis=0)
    steps, values = np.array(steps)[some], values[:, some]
    if not some.any():
        return False
    axes.fill_between(
        steps, np.nanmin(values, axis=0), np.nanmax(values, axis=0), color=colour, alpha=0.12, linewidth=0
    )
    alone = {"marker": "o", "clip_on": False} if len(steps) == 1 else {}  # it may stand at the axes' edge
    axes.plot(steps, np.nanmean(values, axis=0), color=colour, **alone, **style)
    return True


def claimed_metrics(config: ConfigDict, results: Mapping[str, Mapping[int, Result]]) -> Figure | None:
    """What the claims compare: a panel for each of their metrics, a row for each arm, a dot for each seed.

    The bar is the mean, of ratios the geometric one. None where no run has ended, or there are no claims.
    """
    metrics = list(dict.fromkeys(claim.metric for claim in config.claims.values()))
    arms = [arm for arm in config.arms if results[arm]]
    if not metrics or not arms:
        return None
    figure = Figure(figsize=(1.2 + 3.8 * len(metrics), 1.1 + 0.32 * len(arms)), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0], metrics, strict=True):
        is_error = metric.endswith("error")
        ratio = any(claim.ratio for claim in config.claims.values() if claim.metric == metric)
        for row, arm in enumerate(reversed(arms)):
            values = np.array([result.metrics.get(metric, math.nan) for result in results[arm].values()])
            lost = len(values) - np.isfinite(values).sum()
            values = values[np.isfinite(values)] * (100 if is_error else 1)
            if lost:
                axes.annotate(
                    f"{lost} diverged", (0.99, row), xycoords=("axes fraction", "data"), ha="right", va="center"
                )
            axes.plot(values, np.full(len(values), row), "o", color=_COLOURS[0], alpha=0.45, markersize=5)
            if len(values):
                mean = np.exp(np.log(values).mean()) if ratio else values.mean()  # as the claim compares
                axes.plot([mean] * 2, [row - 0.3, row + 0.3], color=_COLOURS[1], linewidth=2.2)
        axes.set_yticks(range(len(arms)), list(reversed(arms)))
        axes.set_ylim(-0.6, len(arms) - 0.4)
        axes.set_xlabel(f"{metric} (%)" if is_error else metric)
        if ratio:
            axes.set_xscale("log")
        axes.grid(alpha=0.25)
    return figure


def write(config: ConfigDict, workdir: Path) -> dict[str, Path]:
    """Draws the figures of a study into `WORKDIR/figures` and returns their files by title."""
    folder = workdir / FIGURES_FOLDER
    folder.mkdir(exist_ok=True)
    results = {arm: {} for arm in config.arms}
    for run in plan.runs(config, workdir):
        if (result := read_result(run.directory)) is not None:
            results[run.arm][run.seed] = result
    paths = {}
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        drawn = {
            "What the claims compare": ("claims", claimed_metrics(config, results)),
            "Learning curves": ("learning_curves", learning_curves(config, workdir)),
        }
        for title, (name, figure) in drawn.items():
            if figure is not None:
                buffer = io.BytesIO()
                figure.savefig(buffer, format="png", dpi=150)
                files.write(folder / f"{name}.png", buffer.getvalue())
                paths[title] = folder / f"{name}.png"
    return paths
