import json
import math
import time

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from canon.errors import UserError
from canon.study import plan
from canon.training import loop, program
from canon.training.checkpoint import Checkpoints
from canon.training.recorder import read_metrics
from canon.training.result import RESULT_FILE, read_result


def build(config, **changes):
    return program.build(plan.arm_configs(plan.merge(config, ConfigDict(changes)))["only"])


def without_speed(lines):
    return [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in lines]


def state_of(built, directory):
    with Checkpoints(directory / loop.CHECKPOINT_FOLDER) as checkpoints:
        return checkpoints.restore(built.abstract_state)[0]


def stop_after(calls):
    left = iter(range(calls - 1, -1, -1))
    return lambda: next(left) == 0


def test_lines_come_when_they_are_due(tiny_config, tmp_path):
    loop.train(build(tiny_config), 0, tmp_path)
    lines = {line["step"]: line for line in read_metrics(tmp_path)}
    assert list(lines) == [4, 6, 8, 12]
    assert {"batch/loss", "batch/error", "batch/learning_rate", "batch/gradient_norm", "batch/update_norm"} <= set(
        lines[4]
    )
    assert {"batch/parameter_norm", "speed/step_seconds", "speed/examples_per_second"} <= set(lines[4])
    assert set(lines[6]) == {"step", "test/loss", "test/error"}
    assert {"train/error", "test/error", "batch/loss"} <= set(lines[12])


@pytest.mark.parametrize(
    ("model", "stop"),
    [
        *(({"name": "mlp", "hidden": (8,), "dropout_rate": 0.2}, stop) for stop in (1, 4, 5, 7, 11)),
        *(({"name": "cifar_resnet", "depth": 8}, stop) for stop in (4, 7)),
    ],
)
def test_a_run_that_was_stopped_anywhere_ends_in_the_same_bits(tiny_config, tmp_path, model, stop):
    built = build(tiny_config, model=model, augment={"pad_crop": 1, "flip": True}, data={"validation_examples": 100})
    whole = loop.train(built, 0, tmp_path / "whole")
    with pytest.raises(loop.Interrupted, match=f"step {stop}"):
        loop.train(built, 0, tmp_path / "cut", should_stop=stop_after(stop))
    assert read_result(tmp_path / "cut") is None
    resumed = loop.train(built, 0, tmp_path / "cut")
    assert built.train_step.programs == 1  # a restored state runs in the program of a fresh one
    assert resumed.metrics == whole.metrics
    assert resumed.best_on_validation == whole.best_on_validation
    assert without_speed(read_metrics(tmp_path / "cut")) == without_speed(read_metrics(tmp_path / "whole"))
    jax.tree.map(np.testing.assert_array_equal, state_of(built, tmp_path / "whole"), state_of(built, tmp_path / "cut"))


def test_seeds_share_the_compiled_steps_and_differ_in_what_they_find(tiny_config, tmp_path):
    built = build(tiny_config)
    losses = [loop.train(built, seed, tmp_path / str(seed)).metrics["train/loss"] for seed in range(3)]
    assert len(set(losses)) == 3
    assert built.train_step.programs == built.evaluation_step.programs == 1


def test_streaming_changes_nothing_in_a_run(tiny_config, tmp_path):
    data = {"validation_examples": 100, "normalize": "standardize"}
    results = [
        loop.train(build(tiny_config, data=data | {"placement": placement}), 0, tmp_path / placement)
        for placement in ("device", "stream")
    ]
    assert results[0].metrics == results[1].metrics
    assert results[0].best_on_validation == results[1].best_on_validation


def test_the_seconds_of_an_interrupted_run_add_up(tiny_config, tmp_path):
    built = build(tiny_config)
    with pytest.raises(loop.Interrupted):
        loop.train(built, 0, tmp_path, should_stop=stop_after(5))
    with Checkpoints(tmp_path / loop.CHECKPOINT_FOLDER) as checkpoints:
        first = checkpoints.restore(built.abstract_state)[1]["seconds"]
    # The second launch finds the step compiled: alone it would need less.
    assert loop.train(built, 0, tmp_path).seconds > first > 0


def test_a_run_whose_metrics_were_lost_is_not_called_finished(tiny_config, tmp_path):
    built = build(tiny_config)
    loop.train(built, 0, tmp_path)
    (tmp_path / RESULT_FILE).unlink()
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match="has 0 lines up to step 12, and had 4"):
        loop.train(built, 0, tmp_path)
    assert not (tmp_path / RESULT_FILE).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"status": "finished"}'])
def test_a_damaged_result_is_named(tmp_path, text):
    (tmp_path / RESULT_FILE).write_text(text)
    with pytest.raises(UserError, match=r"result\.json cannot be read"):
        read_result(tmp_path)


def test_a_finished_run_is_read_and_not_trained(tiny_config, tmp_path):
    built = build(tiny_config)
    first = loop.train(built, 0, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert loop.train(None, 0, tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_run_that_diverges_is_a_result(tiny_config, tmp_path):
    built = build(tiny_config, schedule={"learning_rate": 1e30})
    result = loop.train(built, 0, tmp_path)
    assert result.status == "diverged"
    assert (result.step, result.not_finite) == (1, "update")  # its norm is beyond what there are numbers for
    whole = {"train/error": 1.0, "train/loss": math.inf, "test/error": 1.0, "test/loss": math.inf}
    assert whole.items() <= result.metrics.items()
    assert (result.metrics["batch/error"], result.metrics["batch/loss"]) == (1.0, math.inf)
    assert read_result(tmp_path) == result
    json.loads((tmp_path / RESULT_FILE).read_text(), parse_constant=pytest.fail)
    assert read_metrics(tmp_path)[-1]["batch/loss"] is None


def test_evaluation_counts_every_example_once_whatever_the_batch(tiny_config):
    expected = None
    for batch_size in (7, 360, 500, 100):
        built = build(tiny_config, train={"evaluation_batch_size": batch_size})
        state = built.init(0)
        metrics = loop.evaluate(built, state, "test")
        expected = expected or metrics
        assert metrics["test/error"] == expected["test/error"]
        assert (metrics["test/error"] * 360) == pytest.approx(round(metrics["test/error"] * 360))
        assert metrics["test/loss"] == pytest.approx(expected["test/loss"], rel=1e-6)


def test_the_best_step_is_chosen_on_validation_and_never_on_test(tiny_config, tmp_path):
    built = build(tiny_config, data={"validation_examples": 100}, train={"evaluate_every": 1})
    result = loop.train(built, 0, tmp_path)
    lines = read_metrics(tmp_path)
    best = min(lines, key=lambda line: line["validation/error"])
    assert result.best_on_validation["step"] == best["step"]
    assert result.best_on_validation["test/error"] == best["test/error"]
    assert result.metrics["test/error"] == lines[-1]["test/error"]


def test_a_run_learns(tiny_config, tmp_path):
    result = loop.train(build(tiny_config, train={"steps": 150}, model={"hidden": (64,)}), 0, tmp_path)
    assert result.metrics["train/error"] < 0.05
    assert result.metrics["test/error"] < 0.1


def test_training_is_not_slowed_by_metrics_being_fetched_each_step(tiny_config, tmp_path, monkeypatch):
    fetched = []
    original = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda tree: fetched.append(1) or original(tree))
    loop.train(
        build(tiny_config, train={"steps": 100, "log_every": 50, "evaluate_every": 100, "checkpoint_every": 100}),
        0,
        tmp_path,
    )
    # Two lines (metrics, losses), two evaluations, one checkpoint; not one for each of the hundred steps.
    assert len(fetched) < 12


TARGET = {"train": {"target_error": 0.7, "steps": 60, "log_every": 3, "stop_at_target": True}}


def test_a_run_ends_where_its_target_is_reached_and_counts_its_steps(tiny_config, tmp_path):
    whole = loop.train(build(tiny_config, train=TARGET["train"] | {"stop_at_target": False}), 0, tmp_path / "whole")
    ended = loop.train(build(tiny_config, **TARGET), 0, tmp_path / "ended")
    errors = {line["step"]: line["batch/error"] for line in read_metrics(tmp_path / "whole") if "batch/error" in line}
    first = next(step for step, error in errors.items() if error <= 0.7)
    assert 3 < first < 60
    assert whole.metrics["steps_to_target"] == ended.metrics["steps_to_target"] == ended.step == first
    assert whole.step == 60
    last = read_metrics(tmp_path / "ended")[-1]
    assert last["step"] == first
    assert ended.metrics["test/error"] == last["test/error"]  # it was evaluated there
    assert ended.metrics["batch/error"] == errors[first]
    assert ended.metrics["first/error"] == errors[3]


def test_a_run_that_was_killed_as_it_ended_at_its_target_trains_no_further(tiny_config, tmp_path):
    built = build(tiny_config, **TARGET)
    ended = loop.train(built, 0, tmp_path)
    (tmp_path / RESULT_FILE).unlink()
    again = loop.train(built, 0, tmp_path)
    assert (again.step, again.metrics) == (ended.step, ended.metrics)


def test_a_target_that_was_never_reached_counts_as_the_length_of_the_run(tiny_config, tmp_path):
    result = loop.train(build(tiny_config, train={"target_error": 1e-6, "stop_at_target": True}), 0, tmp_path)
    assert (result.step, result.metrics["steps_to_target"]) == (12, 12)


def test_a_run_gives_up_where_it_is_told_to_and_is_otherwise_the_same(tiny_config, tmp_path):
    whole = loop.train(build(tiny_config, train=TARGET["train"]), 0, tmp_path / "whole")
    early = whole.step - 1
    gave_up = loop.train(build(tiny_config, train=TARGET["train"] | {"give_up_after": early}), 0, tmp_path / "early")
    assert (gave_up.step, gave_up.metrics["steps_to_target"]) == (early, early)
    late = loop.train(build(tiny_config, train=TARGET["train"] | {"give_up_after": whole.step + 3}), 0, tmp_path / "l")
    assert late.metrics == whole.metrics
    with pytest.raises(UserError, match="give_up_after=5 must be 0, or above 0 with train.target_error"):
        build(tiny_config, train={"give_up_after": 5})


def test_what_a_run_watches_is_recorded(tiny_config, tmp_path):
    result = loop.train(build(tiny_config, train={"watch": "activity, gradients"}), 0, tmp_path)
    for name in ("saturation/relu1", "dead/relu1", "gradient_norm/hidden1", "gradient_norm/classifier"):
        assert 0 <= result.metrics[f"first/{name}"] < 100
        assert read_metrics(tmp_path)[-1][f"batch/{name}"] == result.metrics[f"batch/{name}"]


def test_the_seconds_of_a_run_are_those_that_it_took_over_all_its_launches(tiny_config, tmp_path):
    built = build(tiny_config, train={"checkpoint_every": 1})
    began, left = time.perf_counter(), iter(range(6, -1, -1))
    with pytest.raises(loop.Interrupted):
        loop.train(built, 0, tmp_path, should_stop=lambda: next(left) == 0)
    result = loop.train(built, 0, tmp_path)
    assert 0 < sum(result.parts.values()) <= result.seconds <= time.perf_counter() - began
