"""Candidates are compared on what is held out; the test split is seen once, by the runs of the one that is taken."""

import json
import shutil

import numpy as np
import pytest
from ml_collections import ConfigDict
from sklearn.model_selection import StratifiedKFold
from tests.study.test_runner import Watcher

from canon import sweep
from canon.data import sources
from canon.errors import UserError
from canon.study import report, runner, selection, verdict
from canon.study.workdir import Study
from canon.training.result import Result, read_result, write_result

RATES = {"schedule.learning_rate": (1e-6, 0.1)}


@pytest.fixture
def choosing(tiny_study):
    """A study of two arms, each of which chooses between a rate that learns and one that does not, on three folds."""
    with tiny_study.unlocked():
        tiny_study.candidates = ConfigDict(sweep.grid(RATES))
        tiny_study.selection.folds = 3
        tiny_study.seeds = 2
    return tiny_study.lock()


def train(config, folder):
    planned, watcher = runner.planned(config, folder, config.arms), Watcher()
    runner.run(planned, runner.Programs(config, folder).build, watcher)
    return watcher


@pytest.fixture(scope="module")
def kept():
    """What `trained` found; it is trained once."""
    return {}


@pytest.fixture
def trained(choosing, kept, tmp_path_factory):
    """The study `choosing`, trained: a copy of its workdir, and who watched."""
    if not kept:
        folder = tmp_path_factory.mktemp("trained")
        kept.update(watcher=train(choosing, folder), folder=folder)
    copy = tmp_path_factory.mktemp("copy") / "study"
    shutil.copytree(kept["folder"], copy)
    return copy, kept["watcher"]


def test_each_arm_takes_what_is_best_on_its_folds_and_trains_with_it_on_all(choosing, trained):
    folder, watcher = trained
    trials = [run for run in watcher.ended if run.candidate]
    assert len(trials) == 2 * 2 * 3
    assert watcher.ended.index(trials[-1]) == len(trials) - 1  # before any of the runs
    for arm in choosing.arms:
        choice = selection.choose(choosing, folder, arm)
        assert choice.candidate == "learning_rate=1e-1"
        for name, scores in choice.scores.items():
            found = [
                read_result(t.directory).metrics["validation/error"]
                for t in trials
                if t.arm == arm and t.candidate == name
            ]
            assert scores == found
        run = json.loads((folder / arm / "seed-0" / "config.json").read_text())["config"]
        assert run["schedule"]["learning_rate"] == 0.1
        assert (run["data"]["folds"], run["data"]["validation_examples"], run["data"]["test_split"]) == (0, 0, "test")
        metrics = read_result(folder / arm / "seed-0").metrics
        assert "test/error" in metrics
        assert "validation/error" not in metrics


def test_no_trial_sees_the_test_split(choosing, tmp_path):
    (trial, *_) = selection.trials(choosing, tmp_path, "wide")
    built = runner.Programs(choosing, tmp_path).build(trial)
    assert set(built.pipelines) == {"train", "validation"}
    assert built.pipelines["validation"].size == 1437 // 3


def test_a_second_launch_trains_no_trial_again_and_the_report_shows_them(choosing, trained):
    folder, _ = trained
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.jsonl")}
    assert before
    train(choosing, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.jsonl")} == before
    content = report.write(Study("choosing", "", choosing, None, "launch.py run choosing"), folder)
    chosen = content["selection"]["narrow"]
    assert chosen["chosen"] == "learning_rate=1e-1"
    assert chosen["candidates"]["learning_rate=1e-6"]["n"] == 3
    page = (folder / report.REPORT_FILE).read_text()
    assert "What each arm chose" in page
    assert "learning_rate=1e-6" in page


def test_nothing_is_chosen_while_a_trial_is_missing(choosing, tmp_path):
    *first, last = selection.trials(choosing, tmp_path, "narrow")
    for trial in first:
        trial.directory.mkdir(parents=True)
        write_result(trial.directory, Result("finished", 12, {"validation/error": 0.1 * len(trial.candidate)}))
    assert selection.choose(choosing, tmp_path, "narrow").candidate is None
    content = verdict.conclude(Study("choosing", "", choosing, None, ""), tmp_path)
    assert content["selection"]["narrow"]["chosen"] is None
    assert content["selection"]["wide"]["candidates"]["learning_rate=1e-1"] == {"n": 0, "mean": None, "std": None}
    last.directory.mkdir(parents=True)
    write_result(last.directory, Result("diverged", 3, {"validation/error": 1.0}))
    assert selection.choose(choosing, tmp_path, "narrow").candidate is not None


def test_examples_that_are_held_out_serve_in_place_of_folds_and_the_runs_get_them_back(choosing, tmp_path):
    choosing.selection.folds, choosing.data.validation_examples = 0, 200
    selection.check(choosing)
    trials = selection.trials(choosing, tmp_path, "wide")
    assert len(trials) == 2
    config = selection.trial_config(choosing, trials[0], tmp_path)
    assert (config.data.validation_examples, config.data.folds) == (200, 0)
    assert selection.chosen_config(choosing, "wide", trials[0].candidate).data.validation_examples == 0


@pytest.mark.slow
def test_a_trial_of_speed_ends_where_one_before_it_was_faster(choosing, tmp_path):
    with choosing.unlocked():
        rates = {"schedule.learning_rate": (1e-6, 0.3, 0.03)}
        choosing.candidates = ConfigDict(sweep.grid(rates))
        choosing.selection.update(folds=0, metric="steps_to_target")
        choosing.train.update(steps=300, log_every=5, target_error=0.5, stop_at_target=True)
        choosing.seeds = 1
    train(choosing, tmp_path)
    choice = selection.choose(choosing, tmp_path, "narrow")
    ended = {t.candidate: read_result(t.directory) for t in selection.trials(choosing, tmp_path, "narrow")}
    fastest = ended["learning_rate=3e-1"].step
    assert ended["learning_rate=1e-6"].step == 300  # before it there was none
    assert fastest < 300
    assert ended["learning_rate=3e-2"].step == fastest
    assert choice.candidate == "learning_rate=3e-1"
    choosing.train.stop_at_target = False
    trial = selection.trials(choosing, tmp_path, "narrow")[-1]
    assert selection.trial_config(choosing, trial, tmp_path).train.give_up_after == 0


def test_folds_are_scikit_learns_every_example_is_held_out_once_and_classes_keep_their_shares(toy_source):
    digits = sources.load("digits", "train")
    parts = [sources.fold(digits, 5, index) for index in range(5)]
    expected = StratifiedKFold(5, shuffle=True, random_state=0).split(np.zeros(len(digits)), digits.labels)
    for (kept, held), (kept_there, held_there) in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(kept.indices, kept_there)
        np.testing.assert_array_equal(held.indices, held_there)
        shares = np.bincount(held.labels) / len(held)
        np.testing.assert_allclose(shares, np.bincount(digits.labels) / len(digits), atol=0.01)
    np.testing.assert_array_equal(np.sort(np.concatenate([held.indices for _, held in parts])), np.arange(len(digits)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, "folds must be 0, or 2 or more, not 1"),
        ({"folds": -2}, "folds must be 0, or 2 or more, not -2"),
        ({"folds": 0}, "need something to be compared on"),
        ({"metric": "test/error"}, "selection.metric must be one of validation/error"),
        ({"metric": "steps_to_target"}, "steps_to_target needs config.train.target_error"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(choosing, changes, message):
    choosing.selection.update(changes)
    with pytest.raises(UserError, match=message):
        selection.check(choosing)


def test_a_candidate_that_does_not_fit_an_arm_is_named(choosing):
    with choosing.unlocked():
        choosing.candidates = ConfigDict({"deep": {"model": {"depth": 5}}})
    with pytest.raises(UserError, match="arm narrow, candidate deep: model mlp has no argument 'depth'"):
        selection.check(choosing)


def test_a_class_with_fewer_examples_than_folds_is_named(toy_source):
    with pytest.raises(UserError, match="folds are more than the .* training examples of class"):
        sources.fold(toy_source, 1000, 0)
    with pytest.raises(UserError, match="not 5 of 3"):
        sources.fold(toy_source, 3, 5)


def test_a_split_of_its_own_is_held_out_too(choosing):
    with choosing.unlocked():
        choosing.selection.folds = 0
        choosing.data.validation_split = "test"
    selection.check(choosing)
    choosing.selection.folds = 3
    with pytest.raises(UserError, match="both hold examples out"):
        selection.check(choosing)


def test_a_text_is_chosen_for_by_what_it_is_measured_by_and_has_no_folds(choosing):
    with choosing.unlocked():
        choosing.task = "language_model"
        choosing.data.validation_split = "validation"
        choosing.selection.update(folds=0, metric="validation/bits_per_character")
    selection.check(choosing)
    with choosing.unlocked():
        choosing.data.validation_split = ""
        choosing.selection.folds = 3
    with pytest.raises(UserError, match="config.selection.folds is for images"):
        selection.check(choosing)


def test_labels_outside_the_classes_are_named():
    wrong = sources.ArraySource(np.zeros((3, 2, 2, 1), np.uint8), np.array([0, 7, 1], np.int32), 3)
    with pytest.raises(UserError, match="the set has 1 labels outside its 3 classes; example 1 has the label 7"):
        sources.check_labels(wrong, "the set")


@pytest.mark.parametrize(
    ("task", "metric", "best"),
    [
        ("translation", "validation/bleu", "high"),
        ("peptide_binding", "validation/auc", "high"),
        ("captioning", "validation/sequence_error", "low"),
        ("translation", "validation/perplexity", "low"),
    ],
)
def test_the_better_value_is_taken_whichever_way_it_lies_and_one_that_diverged_never(
    choosing, tmp_path, task, metric, best
):
    with choosing.unlocked():
        choosing.task, choosing.selection.metric = task, metric
        choosing.candidates = ConfigDict({name: {"train": {"steps": 9}} for name in ("low", "high", "diverged")})
        choosing.selection.folds, choosing.data.validation_split = 0, "validation"
    values = {"low": 0.2, "high": 0.7, "diverged": 0.5}
    for trial in selection.trials(choosing, tmp_path, "narrow"):
        status = "diverged" if trial.candidate == "diverged" else "finished"
        trial.directory.mkdir(parents=True)
        write_result(trial.directory, Result(status, 9, {metric: values[trial.candidate]}))
    assert selection.choose(choosing, tmp_path, "narrow").candidate == best


def test_what_only_held_out_splits_are_measured_by_cannot_be_chosen_by_on_training(choosing):
    with choosing.unlocked():
        choosing.task, choosing.selection.folds, choosing.data.validation_split = "translation", 0, "validation"
        choosing.selection.metric = "train/bleu"
    with pytest.raises(UserError, match="config.selection.metric must be one of .*validation/bleu.*, not 'train/bleu'"):
        selection.check(choosing)
