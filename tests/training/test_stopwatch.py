"""Where the time of a run goes."""

import json

import pytest
from tests.training.runs import build

from canon.training import loop, stopwatch
from canon.training.result import RESULT_FILE
from canon.training.stopwatch import Stopwatch


def test_parts_add_up_and_go_on_from_a_former_launch(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: float(next(now)))
    watch = Stopwatch({"save": 5.0})
    with watch.of("save"):
        pass
    with pytest.raises(ZeroDivisionError), watch.of("evaluate"):
        raise ZeroDivisionError
    assert list(watch.waiting("ab")) == ["a", "b"]
    # Two batches, and the end of them.
    assert watch.seconds == {"data": 3.0, "compile": 0.0, "step": 0.0, "evaluate": 1.0, "save": 6.0}


def test_shares_are_described_from_the_largest():
    assert stopwatch.describe({"step": 70.0, "data": 0.2, "save": 9.8}, 100.0) == "step 70%, rest 20%, save 10%"
    assert stopwatch.describe({}, 0.0) == ""


def test_a_runs_parts_are_within_its_seconds_over_launches(tiny_config, tmp_path):
    built = build(tiny_config)
    left = iter(range(6, -1, -1))
    with pytest.raises(loop.Interrupted):
        loop.train(built, 0, tmp_path, should_stop=lambda: next(left) == 0)
    with_compile = loop.train(built, 0, tmp_path)
    parts = json.loads((tmp_path / RESULT_FILE).read_text())["parts"]
    assert parts == with_compile.parts
    assert set(parts) == set(stopwatch.PARTS)
    assert all(seconds > 0 for seconds in parts.values())
    assert sum(parts.values()) < with_compile.seconds


def test_what_a_step_needs_is_counted_and_recorded(tiny_config, tmp_path):
    built = build(tiny_config)
    # 64 pixels, 8 units, 10 classes, 32 examples: forward and the kernels' gradients, and the one before the last.
    assert built.multiply_adds == 32 * (2 * (64 * 8 + 8 * 10) + 8 * 10)
    loop.train(built, 0, tmp_path)
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["speed/flops_per_second"] * last["speed/step_seconds"] == pytest.approx(2 * built.multiply_adds)


@pytest.mark.parametrize("step", ["jit", "pmap"])
def test_what_a_step_needs_is_what_papers_count_before_and_after_it_was_taken(tiny_config, tmp_path, step):
    """The form that a CPU is quick at multiplies more here: several columns at once, with zeros between."""

    def network():
        return build(tiny_config, model={"name": "cifar_resnet", "depth": 8}, parallel={"step": step, "devices": 1})

    stem, stage1, stage2, stage3 = 64 * 9 * 16, 2 * 64 * 9 * 16**2, 16 * 9 * 48 * 32, 4 * 9 * 96 * 64
    forward = stem + stage1 + stage2 + stage3 + 64 * 10
    before, built = network().multiply_adds, network()
    loop.train(built, 0, tmp_path)
    assert built.multiply_adds == before == 32 * (3 * forward - stem)  # nothing asks for the image's gradient
