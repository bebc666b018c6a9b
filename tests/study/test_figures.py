import json

import numpy as np
import pytest

from canon.study import figures, plan
from canon.training import result as results


def record(config, folder, arm, seed, lines):
    run = next(run for run in plan.runs(config, folder) if (run.arm, run.seed) == (arm, seed))
    run.directory.mkdir(parents=True)
    (run.directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def drawn(axes, label):
    return next(line for line in axes.lines if line.get_label() == label).get_xydata()


def test_a_line_is_the_mean_over_seeds_at_the_steps_that_all_have(tiny_study, tmp_path):
    record(tiny_study, tmp_path, "narrow", 0, [{"step": s, "test/error": e} for s, e in ((6, 0.5), (12, 0.25))])
    record(tiny_study, tmp_path, "narrow", 1, [{"step": s, "test/error": e} for s, e in ((6, 0.25), (9, 0.1))])
    axes = figures.learning_curves(tiny_study, tmp_path).axes[0]
    np.testing.assert_allclose(drawn(axes, "narrow"), [[6, 37.5]])


def test_bold_is_the_test_error_and_dashed_the_training_error(tiny_study, tmp_path):
    record(tiny_study, tmp_path, "wide", 0, [{"step": 6, "test/error": 0.5, "batch/error": 0.25}])
    axes = figures.learning_curves(tiny_study, tmp_path).axes[0]
    dashed, bold = sorted(axes.lines, key=lambda line: line.get_linewidth())
    assert (dashed.get_linestyle(), bold.get_linestyle()) == ("--", "-")
    assert (dashed.get_ydata()[0], bold.get_ydata()[0]) == (25, 50)


def test_a_run_that_diverged_stays_on_the_figure_at_100_percent(tiny_study, tmp_path):
    lines = [{"step": s, "test/error": 0.2, "batch/error": 0.1} for s in (3, 6, 9, 12)]
    record(tiny_study, tmp_path, "wide", 0, lines)
    record(tiny_study, tmp_path, "wide", 1, [{"step": 3, "batch/error": 0.3}, {"step": 6, "batch/error": 0.9}])
    record(tiny_study, tmp_path, "wide", 2, [{"step": 3, "test/error": 0.4}, {"step": 6, "test/error": 0.4}])
    diverged = next(run for run in plan.runs(tiny_study, tmp_path) if (run.arm, run.seed) == ("wide", 1))
    results.write_result(diverged.directory, results.diverged(5, [], ["train", "test"], 1.0, 1.0, tiny_study.train))
    axes = figures.learning_curves(tiny_study, tmp_path).axes[0]
    dashed, bold = sorted(axes.lines, key=lambda line: line.get_linewidth())
    np.testing.assert_allclose(dashed.get_xydata(), [[3, 20], [6, 55], [9, 55], [12, 55]])
    np.testing.assert_allclose(bold.get_xydata(), [[6, 100 * (0.2 + 1.0 + 0.4) / 3]])


def test_each_panel_has_its_arms(tiny_study, tmp_path):
    tiny_study.figure.panels = (("narrow",), ("wide",))
    for arm, error in (("narrow", 0.5), ("wide", 0.25)):
        record(tiny_study, tmp_path, arm, 0, [{"step": 6, "test/error": error, "batch/error": None}])
    one, other = figures.learning_curves(tiny_study, tmp_path).axes
    assert [text.get_text() for text in one.get_legend().get_texts()] == ["narrow"]
    np.testing.assert_allclose(drawn(other, "wide"), [[6, 25]])


@pytest.mark.parametrize(("end", "limit"), [(0.1, 20), (0.5, 100)])
def test_the_axis_shows_a_curve_that_has_not_come_down_yet(tiny_study, tmp_path, end, limit):
    tiny_study.figure.error_limit = 20.0
    record(tiny_study, tmp_path, "wide", 0, [{"step": 3, "test/error": 0.9}, {"step": 6, "test/error": end}])
    assert figures.learning_curves(tiny_study, tmp_path).axes[0].get_ylim() == (0, limit)


def test_nothing_recorded_is_an_empty_figure(tiny_study, tmp_path):
    assert not figures.learning_curves(tiny_study, tmp_path).axes[0].lines


def ended(config, folder, arm, seed, **metrics):
    run = next(run for run in plan.runs(config, folder) if (run.arm, run.seed) == (arm, seed))
    run.directory.mkdir(parents=True)
    result = results.Result("finished", 12, {name.replace("_", "/"): value for name, value in metrics.items()})
    results.write_result(run.directory, result)
    return result


def test_what_the_claims_compare_is_a_dot_for_each_seed_and_a_bar_for_the_mean(tiny_study, tmp_path):
    found = {
        "narrow": {0: ended(tiny_study, tmp_path, "narrow", 0, train_error=0.5)},
        "wide": {s: ended(tiny_study, tmp_path, "wide", s, train_error=e) for s, e in ((0, 0.1), (1, 0.3))},
    }
    (axes,) = figures.claimed_metrics(tiny_study, found).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["wide", "narrow"]
    (dots, bar), (one, _) = axes.lines[:2], axes.lines[2:]
    np.testing.assert_allclose(dots.get_xydata(), [[10, 0], [30, 0]])
    np.testing.assert_allclose(bar.get_xdata(), [20, 20])
    np.testing.assert_allclose(one.get_xydata(), [[50, 1]])
    assert axes.get_xlabel() == "train/error (%)"
    assert axes.get_xscale() == "linear"
    assert set(figures.write(tiny_study, tmp_path)) == {"What the claims compare", "Learning curves"}


def test_a_ratio_has_a_logarithmic_axis_and_nothing_is_drawn_of_nothing(tiny_study, tmp_path):
    tiny_study.claims.width.ratio = True
    assert figures.claimed_metrics(tiny_study, {"narrow": {}, "wide": {}}) is None
    found = {"narrow": {0: ended(tiny_study, tmp_path, "narrow", 0, train_error=0.5)}, "wide": {}}
    (axes,) = figures.claimed_metrics(tiny_study, found).axes
    assert axes.get_xscale() == "log"


def test_a_study_with_a_target_shows_it_and_ends_where_its_runs_do(tiny_study, tmp_path):
    tiny_study.train.target_error, tiny_study.train.stop_at_target = 0.25, True
    record(tiny_study, tmp_path, "narrow", 0, [{"step": s, "batch/error": e} for s, e in ((3, 0.5), (6, 0.2))])
    axes = figures.learning_curves(tiny_study, tmp_path).axes[0]
    assert axes.get_xlim() == (0, 6)
    assert 25 in [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["narrow"]  # of a dashed line alone
