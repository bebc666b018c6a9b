"""`launch.py` as a user starts it, for most in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests import compiling

from canon.commands import list as list_command
from canon.errors import outcome

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """One cache for all, of compiled programs and of matplotlib's fonts, outside the folders that tests look into."""
    return os.environ | {
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
        "XLA_FLAGS": compiling.FLAGS,
        "JAX_PLATFORMS": "cpu",
        "COLUMNS": "100",
    }


@pytest.fixture
def start(tmp_path, environment):
    """Starts `launch.py` in `tmp_path` and returns the process."""

    def start(*line):
        command = [sys.executable, str(ROOT / "launch.py"), *map(str, line)]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


@pytest.fixture
def launch(start):
    """Runs `launch.py` to its end and returns its exit status, output and errors."""

    def launch(*line):
        process = start(*line)
        output, errors = process.communicate(timeout=300)
        return process.returncode, output, errors

    return launch


def metrics(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in lines]


def test_run_ends_in_a_verdict_and_a_second_run_trains_nothing(tmp_path, experiment, launch, launch_here):
    line = ["run", f"--config={experiment}", "--workdir=w"]
    status, output, errors = launch(*line)
    assert (status, errors) == (0, "")
    assert "verdict:" in output
    for name in ("verdict.json", "report.html", "study.json", "figures/learning_curves.png"):
        assert (tmp_path / "w" / name).stat().st_size > 0
    for arm in ("narrow", "wide"):
        for seed in (0, 1):
            run = tmp_path / "w" / arm / f"seed-{seed}"
            assert [line["step"] for line in metrics(run)] == [3, 6, 9, 12]
            assert list(run.glob("events.out.tfevents.*"))
    verdict = json.loads((tmp_path / "w" / "verdict.json").read_text())
    assert verdict["claims"]["width"]["n"] == 2

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "w").rglob("metrics.jsonl")}
    status, output, _ = launch_here(*line)
    assert status == 0
    assert output.count("before this launch") == 4
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "w").rglob("metrics.jsonl")} == before

    status, output, _ = launch_here("evaluate", "w/wide/seed-1")
    final = metrics(tmp_path / "w/wide/seed-1")[-1]
    assert status == 0
    assert f"error {100 * final['test/error']:.2f}%" in output
    assert "(360 examples)" in output

    (tmp_path / "w" / "report.html").unlink()
    status, output, _ = launch_here("report", "w")
    assert status == 0
    assert (tmp_path / "w" / "report.html").exists()
    assert "verdict:" in output


def wait_for_line(process, path, step):
    """Until the run has recorded `step`, or the process has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and any(json.loads(line)["step"] >= step for line in path.read_text().splitlines()[:-1]):
            return
        time.sleep(0.01)
    pytest.fail(f"never came to step {step}: {process.communicate()}")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),  # `faults/test_kills.py` does it at random
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        (signal.SIGTERM, 143),
    ],
)
def test_a_run_that_was_ended_by_a_signal_and_started_again_ends_in_the_same_metrics(
    tmp_path, experiment, launch, start, number, status
):
    line = ["run", f"--config={experiment}:long", "--config.seeds=1"]
    assert launch(*line, "--workdir=whole")[0] == 0
    process = start(*line, "--workdir=cut")
    wait_for_line(process, tmp_path / "cut/narrow/seed-0/metrics.jsonl", 60)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status
    assert not (tmp_path / "cut/wide").exists()
    assert not (tmp_path / "cut/verdict.json").exists()
    if number != signal.SIGKILL:
        assert "saved; the same command goes on" in output

    status, output, errors = launch(*line, "--workdir=cut")
    assert (status, errors) == (0, "")
    assert "narrow seed 0: goes on at step" in output
    for arm in ("narrow", "wide"):
        assert metrics(tmp_path / "cut" / arm / "seed-0") == metrics(tmp_path / "whole" / arm / "seed-0")


def test_arms_can_be_trained_in_turn(experiment, launch_here):
    line = ["run", f"--config={experiment}", "--workdir=w", "--config.seeds=1"]
    status, output, _ = launch_here(*line, "--arms=wide")
    assert status == 0
    assert "(1 of 2 runs)" in output
    status, output, _ = launch_here(*line)
    assert status == 0
    assert "(2 of 2 runs)" in output


def test_a_second_launch_compiles_nothing_again(experiment, launch, environment):
    def programs():
        return {path.name for path in (Path(environment["XDG_CACHE_HOME"]) / "canon/jax").glob("*-cache")}

    line = ["run", f"--config={experiment}", "--arms=narrow", "--config.seeds=1"]
    assert launch(*line, "--workdir=first")[0] == 0
    after_first = programs()
    assert any("train_step" in name for name in after_first)
    assert launch(*line, "--workdir=second")[0] == 0
    assert programs() == after_first


def test_a_broken_experiment_does_not_hide_the_others_from_the_list(tmp_path, experiment, capsys):
    (tmp_path / "broken.py").write_text("def get_config():\n    return 1 / 0\n")
    assert list_command.main([], tmp_path) == 0
    output = capsys.readouterr().out
    assert "broken.py:2: ZeroDivisionError" in output
    assert "Is a wider layer better?" in output


def test_the_default_study_takes_a_step_on_streamed_data(tmp_path, launch):
    line = ["run", "plain_vs_residual", "--arms=residual-20", "--config.seeds=1", "--config.train.steps=2"]
    changes = [
        "--config.arms.residual-20.model.depth=8",
        "--config.data.placement=stream",
        "--config.augment.pad_crop=1",
    ]
    status, _, errors = launch(*line, *changes)
    assert (status, errors) == (0, "")
    assert (tmp_path / "runs/plain_vs_residual/residual-20/seed-0/result.json").exists()


def test_a_mistake_ends_the_process_with_status_2_and_one_line(launch):
    status, output, errors = launch("run", "plain_vs_residual", "--config.train.stps=1")
    assert (status, output) == (2, "")
    assert errors == "canon: config has no field 'train.stps'; did you mean train.steps?\n"


def test_a_launch_that_is_stopped_amid_an_import_ends_at_once_in_one_line(tmp_path, environment):
    (tmp_path / "jax.py").write_text(
        "import os, signal, time\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(60)\n"
        "except BaseException:\n    pass\n"  # as a callback of the real one does
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), "run", "plain_vs_residual"],
        cwd=tmp_path, env=environment | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"canon: {outcome(KeyboardInterrupt())[1]}\n"


def test_an_override_that_some_arms_do_not_take_says_so(launch_here, experiment):
    status, output, _ = launch_here(
        "run", f"--config={experiment}", "--config.model.hidden=(4,)", "--config.train.steps=3", "--config.seeds=1"
    )
    assert status == 0
    assert "--config.model.hidden is not for wide, which have that of their own, or none" in output
    assert "--config.train.steps" not in output


def test_a_pipe_that_closes_does_not_look_like_success(experiment, start):
    process = start("run", f"--config={experiment}:long")
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=120) == 141


VERBS = ("list", "run", "report", "evaluate", "augment", "sample", "cells", "summary", "predict", "prepare")


def imported(environment, *line):
    code = (
        "import runpy, sys\nsys.argv = ['launch.py', *sys.argv[1:]]\n"
        f"try:\n    runpy.run_path({str(ROOT / 'launch.py')!r}, run_name='__main__')\nexcept SystemExit:\n    pass\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code, *line], env=environment,
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return output, set(output.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("line", [[], ["list"], ["--help"], *([verb, "--help"] for verb in VERBS)])
def test_list_and_help_import_no_jax(environment, line):
    output, modules = imported(environment, *line)
    assert not modules & {"jax", "flax", "numpy", "matplotlib", "tensorflow_datasets", "sklearn", "rich"}
    assert "launch.py" in output


def test_a_summary_is_printed_without_a_data_library_and_nothing_is_written(tmp_path, launch, environment):
    status, output, errors = launch("summary", "vgg16")
    assert (status, errors) == (0, "")
    assert "138,357,544" in output
    assert list(tmp_path.iterdir()) == []
    _, modules = imported(environment, "summary", "lenet5")
    assert "jax" in modules
    assert not modules & {"matplotlib", "tensorflow_datasets", "sklearn", "grain", "tensorboardX", "orbax"}


def test_with_no_arguments_it_lists_the_experiments_and_says_how_to_start(launch):
    status, output, errors = launch()
    assert (status, errors) == (0, "")
    for part in ("plain_vs_residual:cifar10", "He et al. 2015", "minutes", "launch.py run NAME"):
        assert part in output
