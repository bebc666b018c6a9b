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
