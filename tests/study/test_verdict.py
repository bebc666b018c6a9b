import json
import math

import numpy as np
import pytest
from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError
from canon.study import plan, report, verdict
from canon.study.workdir import Study
from canon.training import result as results
from canon.training.result import Result


def finished(error, loss=0.5, **kwargs):
    return Result(
        "finished",
        12,
        {f"{s}/{k}": v for s in ("train", "test") for k, v in (("error", error), ("loss", loss))},
        **kwargs,
    )


def put(config, folder, arm, errors):
    for run in plan.runs(config, folder):
        if run.arm == arm and run.seed < len(errors) and errors[run.seed] is not None:
            run.directory.mkdir(parents=True)
            error = errors[run.seed]
            ended = error if isinstance(error, Result) else finished(error)
            results.write_result(run.directory, ended)


@pytest.fixture
def study(tiny_study):
    return Study("toy", "", tiny_study, None, "launch.py run toy")


def test_differences_are_paired_by_seed_and_only_where_both_have_ended(study, tmp_path):
    put(study.config, tmp_path, "narrow", [0.5, 0.6, 0.7])
    put(study.config, tmp_path, "wide", [0.1, None, 0.2])
    claim = verdict.conclude(study, tmp_path)["claims"]["width"]
    assert claim["seeds"] == [0, 2]
    assert claim["n"] == 2
    assert claim["differences"] == pytest.approx([0.4, 0.5])
    assert claim["paired_difference"] == pytest.approx(0.45)


def test_the_file_says_all_that_a_reader_must_know(study, tmp_path):
    put(study.config, tmp_path, "narrow", [0.5, 0.6, 0.55])
    put(study.config, tmp_path, "wide", [0.1, 0.1, 0.1])
    verdict.conclude(study, tmp_path)
    content = json.loads((tmp_path / "verdict.json").read_text(), parse_constant=pytest.fail)
    assert content["verdict"] == "reproduced"
    assert set(content) >= {"claims", "deviations", "versions", "hardware", "seconds", "arms", "runs", "command"}
    claim = content["claims"]["width"]
    assert set(claim) >= {
        "statement", "metric", "direction", "n", "paired_difference", "interval_95", "published", "source", "verdict",
    }  # fmt: skip
    assert claim["interval_95"][0] < claim["paired_difference"] < claim["interval_95"][1]
    assert content["arms"]["narrow"]["last_step"]["train/error"]["mean"] == pytest.approx(0.55)
    assert content["arms"]["narrow"]["last_step"]["train/error"]["std"] == pytest.approx(0.05)


def test_a_diverged_run_counts_as_wrong_on_everything(study, tmp_path):
    put(
        study.config, tmp_path, "narrow", [results.diverged(3, [], ["train", "test"], 1.0, 1.0, study.config.train)] * 3
    )
    put(study.config, tmp_path, "wide", [0.1, 0.12, 0.1])
    content = verdict.conclude(study, tmp_path)
    assert content["claims"]["width"]["verdict"] == "reproduced"
    assert content["claims"]["width"]["differences"] == pytest.approx([0.9, 0.88, 0.9])
    assert content["arms"]["narrow"]["diverged"] == [0, 1, 2]
    assert content["arms"]["narrow"]["last_step"]["train/loss"]["mean"] is None


def test_a_loss_that_diverged_has_no_mean_and_is_judged_by_signs(study, tmp_path):
    study.config.claims.width.metric = "test/loss"
    study.config.seeds = 6
    put(
        study.config, tmp_path, "narrow", [results.diverged(3, [], ["train", "test"], 1.0, 1.0, study.config.train)] * 6
    )
    put(study.config, tmp_path, "wide", [0.1] * 6)
    claim = verdict.conclude(study, tmp_path)["claims"]["width"]
    assert (claim["paired_difference"], claim["interval_95"], claim["verdict"]) == (None, None, "reproduced")


def test_nothing_there_is_underpowered(study, tmp_path):
    content = verdict.conclude(study, tmp_path)
    assert (content["verdict"], content["runs"]) == ("underpowered", {"ended": 0, "planned": 6})


def test_every_field_that_departs_from_the_protocol_is_listed(study):
    protocol = plan.complete(canon_config.default())
    listed = verdict.deviations(Study("toy", "", study.config, protocol, ""))
    assert "model.hidden is (8,); the paper's protocol has (800, 800)." in listed
    assert any(line.startswith("train.steps is 12") for line in listed)
    # What is watched or stored, and how many seeds there are, is no deviation.
    assert not any(line.startswith(("train.log_every", "seeds", "arms", "claims")) for line in listed)
    assert verdict.deviations(Study("toy", "", protocol, protocol, "")) == []


def test_an_arm_that_is_not_the_papers_is_a_deviation_and_one_that_the_paper_lacks_is_not(study):
    protocol, changed = plan.complete(canon_config.default()), plan.complete(canon_config.default())
    with protocol.unlocked(), changed.unlocked():
        protocol.arms = ConfigDict({"a": {"model": {"hidden": (8,)}}, "b": {}})
        changed.arms = ConfigDict({"a": {"model": {"hidden": (9,)}}, "c": {"model": {"hidden": (3,)}}})
    listed = verdict.deviations(Study("toy", "", changed, protocol, ""))
    assert listed == ["arms.a.model.hidden is (9,); the paper's protocol has (8,)."]


def test_what_the_runs_ran_on_is_theirs_and_differences_are_listed(study, tmp_path):
    here, there = {"processor": "x", "cores": 2}, {"processor": "y", "cores": 8}
    put(study.config, tmp_path, "narrow", [finished(0.5, versions={"jax": "1"}, hardware=here)] * 2)
    put(study.config, tmp_path, "wide", [finished(0.5, versions={"jax": "1"}, hardware=there)])
    content = verdict.conclude(study, tmp_path)
    assert (content["versions"], content["hardware"]) == ({"jax": "1"}, here)
    assert [e["runs"] for e in content["environments"]] == [["narrow/seed-0", "narrow/seed-1"], ["wide/seed-0"]]


def test_results_survive_the_disk(tmp_path):
    ended = finished(0.25, math.inf, best_on_validation={"step": 4, "validation/loss": math.inf}, seconds=1.5)
    results.write_result(tmp_path, ended)
    assert results.read_result(tmp_path) == ended
    assert results.read_result(tmp_path / "nowhere") is None


def with_metric(name, value):
    return Result("finished", 6, {name: value})


def test_a_claim_about_a_ratio_compares_logarithms(study, tmp_path):
    study.config.claims.width.update(metric="steps_to_target", ratio=True)
    put(study.config, tmp_path, "narrow", [with_metric("steps_to_target", v) for v in (200.0, 410.0, 790.0)])
    put(study.config, tmp_path, "wide", [with_metric("steps_to_target", v) for v in (100.0, 200.0, 400.0)])
    claim = verdict.conclude(study, tmp_path)["claims"]["width"]
    np.testing.assert_allclose(claim["differences"], np.log([2.0, 2.05, 1.975]))
    assert claim["verdict"] == "reproduced"
    assert claim["direction"] == "steps_to_target of narrow over that of wide is above 1"
    assert report.difference(claim).startswith("×2.01, 95% interval ×")


def test_a_claim_about_what_no_run_recorded_is_refused_with_the_nearest_name(study, tmp_path):
    study.config.claims.width.metric = "first/gradient_norm/hidden"
    for arm in ("narrow", "wide"):
        put(study.config, tmp_path, arm, [with_metric("first/gradient_norm/hidden1", 1.0)])
    with pytest.raises(UserError, match="no run recorded .*did you mean first/gradient_norm/hidden1"):
        verdict.conclude(study, tmp_path)
