import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_interval_of_ratios_is_that_of_their_logarithms():
    from benchmarks.__main__ import interval

    middle, (low, high) = interval([0.5, 2.0])
    assert middle == pytest.approx(1)
    assert low * high == pytest.approx(1)
    assert low < 0.5
    assert interval([0.7]) == (pytest.approx(0.7), None)


def test_the_sides_take_turns_and_a_row_has_the_ratio_of_each(monkeypatch):
    from benchmarks import __main__ as benchmarks

    took = {"canon": [1.0, 3.0, 2.0], "pytorch": [2.0, 2.0, 8.0]}
    turns = []

    def turn(python, side, name, options, cache):
        turns.append(side)
        return {"seconds": took[side].pop(0), "peak_bytes": len(turns)}

    monkeypatch.setattr(benchmarks, "turn", turn)
    row = benchmarks.measure("mlp", argparse.Namespace(rounds=3, seconds=1.0, settle=0.0, pytorch="python"))
    assert turns == ["canon", "pytorch", "pytorch", "canon", "canon", "pytorch"]
    assert row["ratios"] == [0.5, 1.5, 0.25]
    assert (row["ratio"], row["ratio_interval"]) == benchmarks.interval([0.5, 1.5, 0.25])
    assert (row["canon_seconds"], row["pytorch_seconds"], row["canon_peak_bytes"]) == (2.0, 2.0, 5)


@pytest.mark.parametrize("side", ["canon", "pytorch"])
def test_both_sides_know_every_work(side, request):
    from benchmarks import work

    if side == "pytorch":
        pytest.importorskip("torch", reason="PyTorch is the other side: pip install -e '.[torch]'")
    module = __import__(f"benchmarks.{side}_side", fromlist=["SIDES"])
    assert {*module.SIDES, *module.WHOLE} == set(work.ALL)


def test_pytorchs_side_uses_nothing_of_canon():
    text = "".join((ROOT / "benchmarks" / name).read_text() for name in ("pytorch_side.py", "torch_networks.py"))
    assert "import canon" not in text
    assert "from canon" not in text


def test_both_sides_have_the_same_number_of_parameters():
    pytest.importorskip("torch", reason="PyTorch is the other side: pip install -e '.[torch]'")
    import jax
    from benchmarks import canon_side, pytorch_side, work

    from canon import models

    for name, network in canon_side.NETWORKS.items():
        images = work.IMAGES[name]
        shape = jax.ShapeDtypeStruct((1, *images.shape), np.float32)
        model = models.create(**network, num_classes=images.classes)
        params = jax.eval_shape(model.init, jax.random.key(0), shape)["params"]
        ours = sum(leaf.size for leaf in jax.tree.leaves(params))
        assert ours == sum(p.numel() for p in pytorch_side.NETWORKS[name]().parameters()), name


def test_a_side_measures_a_step_in_its_own_process():
    command = [sys.executable, "-m", "benchmarks.canon_side", "mlp", "0.01", "0", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["multiply_adds"] == 128 * (3 * (784 * 800 + 800 * 800 + 800 * 10) - 784 * 800)
    assert 0 < found["seconds"] < found["first_seconds"]
    assert found["peak_bytes"] > 0


def test_pytorchs_study_is_that_of_the_experiment():
    pytest.importorskip("torch", reason="PyTorch is the other side: pip install -e '.[torch]'")
    from benchmarks import pytorch_side as theirs
    from experiments import plain_vs_residual

    ours = plain_vs_residual.get_config()
    assert (ours.train.batch_size, ours.train.steps) == (theirs.STUDY_BATCH, theirs.STUDY_STEPS)
    assert (ours.train.evaluate_every, ours.seeds) == (theirs.EVALUATE_EVERY, theirs.SEEDS)
    assert (ours.schedule.learning_rate, ours.schedule.decay_at) == (theirs.STUDY_RATE, (0.5, 0.75))
    assert {name: (arm.model.depth, arm.model.shortcut) for name, arm in ours.arms.items()} == theirs.ARMS
    claims = [(c.higher, c.lower, -c.tolerance) for c in ours.claims.values()]
    assert claims == [*theirs.CLAIMS]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet6"], "no work is called 'lenet6'; did you mean lenet5?"),
        (["mlp", "--round=1"], "unrecognized arguments: --round=1"),
        (["mlp", "--rounds=0"], "--rounds must be at least 1"),
        (["mlp", "--seconds=nan"], "--seconds above 0"),
        (["mlp", "--settle=-1"], "--settle at least 0"),
        (["mlp", "--threads=0"], "--threads must be between 1 and"),
        (["mlp", "--name=../mine"], "without its folder"),
        (["mlp", "--name=.."], "without its folder"),
        (["mlp", "--pytorch=/no/such/python"], "has no PyTorch"),
    ],
)
def test_bad_input_is_refused_in_one_line_and_writes_nothing(arguments, message, monkeypatch, capsys):
    from benchmarks import __main__ as benchmarks

    before = sorted((ROOT / "benchmarks").rglob("*.json"))
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    for name in ("measure", "take_cores"):
        monkeypatch.setattr(benchmarks, name, lambda *_, name=name: pytest.fail(f"it came to {name}"))
    with pytest.raises(SystemExit) as ended:
        benchmarks.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted((ROOT / "benchmarks").rglob("*.json")) == before


def test_a_table_of_another_machine_is_not_touched():
    pytest.importorskip("torch", reason="PyTorch is the other side: pip install -e '.[torch]'")
    kept = ROOT / "benchmarks" / "results" / "zen3-jax-0.10.2.json"
    before = kept.read_bytes()
    command = [sys.executable, "-m", "benchmarks", "mlp", f"--name={kept.stem}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "has other hardware, AMD EPYC" in line
    assert kept.read_bytes() == before


def test_a_benchmark_that_is_stopped_says_so_in_one_line_and_writes_nothing(tmp_path, start):
    before = sorted((ROOT / "benchmarks").rglob("*.json"))
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 2.0\n")  # all that is asked of it before canon's turn is its PyTorch's version
    other.chmod(0o700)
    process = start("-u", "-m", "benchmarks", "mlp", f"--pytorch={other}", "--name=stopped")
    assert "PyTorch 2.0" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = told.splitlines()
    assert "stopped" in line
    assert sorted((ROOT / "benchmarks").rglob("*.json")) == before


def test_a_table_that_cannot_be_read_is_not_touched(tmp_path, monkeypatch, capsys):
    from benchmarks import __main__ as benchmarks

    kept = tmp_path / "benchmarks" / "results" / "mine.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"rows": [')
    monkeypatch.setattr(benchmarks, "ROOT", tmp_path)
    monkeypatch.setattr(benchmarks, "versions", lambda pytorch: {"jax": "0", "torch": "0"})
    for name in ("measure", "take_cores"):
        monkeypatch.setattr(benchmarks, name, lambda *_, name=name: name == "take_cores" or pytest.fail("it measures"))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "mlp", "--name=mine"])
    with pytest.raises(SystemExit) as ended:
        benchmarks.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is no table any more" in line
    assert kept.read_text() == '{"rows": ['


def test_a_moment_counts_for_the_innermost_interval_of_a_thread():
    from benchmarks.shares import innermost

    nested = [(0, 10, "run"), (1, 4, "steps"), (2, 3, "tracing"), (6, 7, "steps"), (12, 13, "report")]
    assert innermost(nested) == [
        (0, 1, "run"), (1, 2, "steps"), (2, 3, "tracing"), (3, 4, "steps"), (4, 6, "run"), (6, 7, "steps"),
        (7, 10, "run"), (12, 13, "report"),
    ]  # fmt: skip


def test_a_moment_of_several_threads_counts_once_and_last_for_what_waits():
    from benchmarks.shares import innermost, merged

    threads = [[(0, 10, "rest")], [(1, 5, "steps")], [(2, 6, "steps"), (3, 4, "evaluations")], [(3, 7, "checkpoints")]]
    found = merged([innermost(intervals) for intervals in threads])
    assert found == {"rest": 4, "steps": 2, "evaluations": 1, "checkpoints": 3}


def test_what_is_compiled_ahead_counts_for_that_and_not_for_the_first_step_that_waits_for_it():
    from benchmarks.shares import merged

    ahead = [(0, 6, "tracing"), (6, 8, "lowering"), (8, 15, "compiling")]
    found = merged([ahead, [(5, 20, "first step")], [(0, 1, "building programs")], [(9, 10, "evaluations")]])
    assert found == {"tracing": 6, "lowering": 2, "compiling": 7, "first step": 5}


def test_the_shares_of_a_study_add_up_to_the_whole(tmp_path):
    from benchmarks.seeds import EXPERIMENT

    (tmp_path / "study.py").write_text(EXPERIMENT)
    fields = ["--config.train.steps=20", "--config.seeds=2", "--config.parallel.seeds=concurrent"]
    command = [sys.executable, "-m", "benchmarks.shares", f"--config={tmp_path / 'study.py'}", *fields]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    seconds = {line[:24].strip(): float(line[24:34]) for line in done.stdout.splitlines()}
    whole = seconds.pop("whole")
    assert sum(seconds.values()) == pytest.approx(whole, abs=0.05 * len(seconds))
    assert {"importing", "compiling", "tracing", "steps", "checkpoints"} <= set(seconds)


def test_a_convolution_in_a_loop_has_the_gradient_that_it_has_without():
    import jax
    from benchmarks.convolution_loop import FORMS, gradient

    random = np.random.default_rng(0)
    x = random.normal(size=(2, 4, 4, 8)).astype(np.float32)
    kernels = random.normal(size=(3, 3, 3, 8, 8)).astype(np.float32) / 10
    found = [gradient(form, is_loop)(x, kernels) for form in FORMS.values() for is_loop in (False, True)]
    for other in found[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found[0], other)


def test_the_shares_of_no_study_are_told_in_one_line():
    command = [sys.executable, "-m", "benchmarks.shares", "no_such_experiment"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


@pytest.mark.parametrize("command", ["convolution_loop", "loop", "seeds"])
def test_a_mistake_on_the_command_line_is_told_in_one_line(command):
    line = [sys.executable, "-m", f"benchmarks.{command}", "--ronds=2"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--ronds=2" in done.stderr
