import json

import numpy as np
import pytest

from canon.study import figures, plan


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
