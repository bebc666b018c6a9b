"""`launch.py` as a user starts it: in a process of its own; what fails before it computes, in this one."""

import ast
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests import compiling

from canon.commands import arguments, runtime
from canon.commands import list as list_command
from canon.errors import outcome

ROOT = Path(__file__).parents[1]

EXPERIMENT = """
from ml_collections import ConfigDict
from canon import config as canon_config

def get_config(argument="small"):
    config = canon_config.default()
    config.title = "Is a wider layer better?"
    config.model = ConfigDict({"name": "mlp", "hidden": (8,)})
    config.train.steps = 300 if argument == "long" else 12
    config.train.log_every = 3
    config.train.evaluate_every = 6
    config.train.checkpoint_every = 50 if argument == "long" else 5
    config.seeds = 2
    config.arms = ConfigDict({"narrow": {}, "wide": {"model": {"hidden": (32,)}}})
    claim = canon_config.claim(statement="Wider is better.", higher="narrow", lower="wide")
    config.claims = ConfigDict({"width": claim})
    return config
"""


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / "width.py"
    path.write_text(EXPERIMENT)
    return path


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


def test_a_broken_experiment_does_not_hide_the_others_from_the_list(tmp_path, capsys):
    (tmp_path / "broken.py").write_text("def get_config():\n    return 1 / 0\n")
    (tmp_path / "width.py").write_text(EXPERIMENT)
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


BAD = {
    "verb": (["rnu"], "no verb 'rnu'; did you mean run?"),
    "nothing to run": (["run"], "takes an experiment's name"),
    "empty name": (["run", ""], "no experiment is called ''"),
    "figure": (["run", "plain_vs_residual", "--config.figure.panels=5"], "config.figure.panels takes"),
    "long workdir": (["run", "plain_vs_residual", f"--workdir={'x' * 300}"], "File name too long"),
    "not a number": (["run", "plain_vs_residual", "--config.schedule.learning_rate=nan"], "takes a number"),
    "too many steps": (["run", "plain_vs_residual", "--config.train.steps=1e12"], "train.steps must be at most"),
    "two things to run": (["run", "plain_vs_residual", "--config=x.py"], "one of the two"),
    "experiment": (["run", "plain_vs_residul"], "did you mean plain_vs_residual?"),
    "argument": (["run", "plain_vs_residual:cifar100"], "no argument 'cifar100'; there are digits, cifar10"),
    "experiment file": (["run", "--config=nowhere.py"], "no experiment file nowhere.py"),
    "flag": (["run", "plain_vs_residual", "--wrokdir=x"], "--wrokdir=x; did you mean --workdir for --wrokdir?"),
    "a flag of the config": (["run", "plain_vs_residual", "--steps=5"], "mean --config.train.steps for --steps?"),
    "nothing like a flag": (["run", "plain_vs_residual", "--lr=5"], "--lr=5 (see launch.py run --help)"),
    "two names": (["run", "plain_vs_residual", "steps"], "unrecognized arguments: steps (see"),
    "two names and a flag": (["run", "plain_vs_residual", "steps", "--armz=x"], "did you mean --arms for --armz?"),
    "no verb": (["plain_vs_residual:cifar10"], "did you mean run plain_vs_residual:cifar10?"),
    "key": (["run", "plain_vs_residual", "--config.train.stpes=3"], "did you mean train.steps?"),
    "value": (["run", "plain_vs_residual", "--config.train.steps=few"], "config.train.steps takes a whole number"),
    "key without value": (["run", "plain_vs_residual", "--config.seeds"], "needs a value"),
    "no effect": (["run", "plain_vs_residual", "--config.model.depth=26"], "no effect, because every arm sets it"),
    "depth": (["run", "plain_vs_residual", "--config.model.depth=21"], "depth must be 6n+2"),
    "depth of an arm": (["run", "plain_vs_residual", "--config.arms.plain-20.model.depth=21"], "depth must be 6n+2"),
    "shortcut": (["run", "plain_vs_residual", "--config.arms.plain-20.model.shortcut=D"], "shortcut must be A"),
    "model": (["run", "plain_vs_residual", "--config.model.name=resnet"], "no model is called 'resnet'"),
    "argument of an arm": (["run", "plain_vs_residual", "--config.model.name=mlp"], "mlp has no argument 'depth'"),
    "data set": (["run", "plain_vs_residual", "--config.data.source=cifra10"], "did you mean cifar10?"),
    "not prepared": (["run", "plain_vs_residual:cifar10", "--config.data.data_dir=none"], "launch.py prepare cifar10"),
    "batch": (["run", "plain_vs_residual", "--config.train.batch_size=2000"], "between 1 and the 1437"),
    "validation": (["run", "plain_vs_residual", "--config.data.validation_examples=1437"], "validation_examples"),
    "steps": (["run", "plain_vs_residual", "--config.train.steps=0"], "train.steps must be at least 1"),
    "seeds": (["run", "plain_vs_residual", "--config.seeds=0"], "seeds must be at least 1"),
    "arms": (["run", "plain_vs_residual", "--arms=plain-21"], "no arm is called 'plain-21'; did you mean plain-20?"),
    "devices": (["run", "plain_vs_residual", "--config.parallel.devices=64"], "parallel.devices"),
    "workdir below a file": (["run", "plain_vs_residual", "--workdir=file/w"], "cannot be written"),
    "foreign workdir": (["run", "plain_vs_residual", "--workdir=foreign"], "holds no study"),
    "report of nothing": (["report", "foreign"], "not the workdir of a study"),
    "evaluation of nothing": (["evaluate", "foreign"], "not the folder of a run"),
    "preparing nothing": (["prepare", "cifra10"], "did you mean cifar10?"),
    "labels": (["run", "loss_functions", "--config.loss.name=cross_entropy"], "no loss is called 'cross_entropy'"),
    "smoothing": (["run", "dropout", "--config.loss.label_smoothing=1"], "label_smoothing must be at least 0"),
    "loss argument": (["run", "dropout", "--config.loss.margin=1"], "config has no field 'loss.margin'"),
    "folds": (["run", "cross_validation", "--config.selection.folds=200"], "200 folds are more than the 139"),
    "one fold": (["run", "cross_validation", "--config.selection.folds=1"], "folds must be 0, or 2 or more"),
    "two ways to hold out": (
        ["run", "cross_validation", "--config.data.validation_examples=100"], "both hold examples out",
    ),
    "nothing held out": (["run", "cross_validation", "--config.selection.folds=0"], "something to be compared on"),
    "selection": (["run", "cross_validation", "--config.selection.metric=test/error"], "metric must be one of"),
    "rate": (["run", "dropout", "--config.schedule.learning_rate=0"], "learning_rate must be above 0, not 0"),
    "negative rate": (["run", "dropout", "--config.schedule.learning_rate=-1"], "must be above 0, not -1"),
    "warm-up": (["run", "dropout", "--config.schedule.warmup_steps=9999"], "must be between 0 and 1500 (steps)"),
    "clip": (["run", "dropout", "--config.optimizer.clip_norm=0"], "clip_norm must be above 0"),
    "clip by value": (["run", "dropout", "--config.optimizer.clip_value=0"], "clip_value must be above 0"),
    "decay": (["run", "dropout", "--config.optimizer.decay=biases"], "decay must be one of all, kernels"),
    "erase": (["run", "dropout", "--config.augment.erase=2"], "augment.erase must be at most 1, not 2"),
    "colour": (["run", "dropout", "--config.augment.colour=0.1"], "augment.colour is for images of 3 channels"),
    "watch": (["run", "dropout", "--config.train.watch=weights"], "train.watch takes any of activity, gradients"),
    "target": (["run", "dropout", "--config.train.target_error=1"], "target_error must be at least 0 and below 1"),
    "augment of nothing": (["augment", "augmentaton"], "did you mean augmentation?"),
    "sheet": (["augment", "augmentation", "--out=sheet.jpg"], "--out takes the path of a .png"),
    "sheet elsewhere": (["augment", "augmentation", "--out=none/sheet.png"], "in a folder that exists"),
    "images of a sheet": (["augment", "augmentation", "--images=0"], "--images must be from 1 to 100, not 0"),
    "summary of nothing": (["summary", "vgg61"], "no model is called 'vgg61'; did you mean vgg19?"),
    "summary on a small image": (["summary", "vgg16", "--input=20x20x3"], "layer pool5"),
    "prediction without weights": (["predict", "file", "--model=vgg16"], "are required: --weights"),
    "prediction by a text": (["predict", "file", "--model=vgg16", "--weights=file"], "neither a safetensors file nor"),
    "augment of texts": (["augment", "char_rnn"], "augment shows images that are to be classified"),
    "claim of nothing recorded": (
        ["run", "vanishing_gradient", "--config.arms.relu-8.model.hidden=(5,)", "--config.train.watch=activity"],
        "gradient_norm/hidden1 is recorded with --config.train.watch=gradients",
    ),
    "text": (["run", "char_rnn", "--config.data.text=nowhere.txt"], "nowhere.txt cannot be read"),
    "short text": (["run", "char_rnn", "--config.data.text=file"], "the train text has 0 characters"),
    "chunk": (["run", "char_rnn", "--config.data.chunk=0"], "data.chunk must be at least 1, not 0"),
    "long chunk": (["run", "char_rnn", "--config.data.chunk=50000"], "50 rows of 50000 need 2,500,001"),
    "cell": (["run", "lstm_vs_rnn", "--config.model.cell=gru"], "would have no effect, because every arm sets it"),
    "cell of an arm": (["run", "deep_rnn", "--config.model.cell=lstn"], "no cell is called 'lstn'; did you mean lstm?"),
    "images to a text": (["run", "char_rnn", "--config.augment.flip=true"], "augment.flip means nothing to texts"),
    "text to images": (["run", "dropout", "--config.data.text=file"], "data.text means nothing to images"),
    "model of another kind": (["run", "augmentation", "--config.model.name=char_rnn"], "char_rnn is not one of images"),
    "sequences": (["run", "lstm_vs_rnn", "--config.data.source=digits"], "no sequences are called 'digits'"),
    "length": (["run", "gradient_clipping", "--config.data.length=9"], "data.length must be at least 10"),
    "figure of nothing": (["run", "deep_rnn", "--config.figure.metric=accuracy"], "figure.metric must be one of error"),
    "verify of nothing": (["verify", "foreign"], "not the workdir of a study"),
    "executor": (["run", "dropout", "--executor=slrum"], "did you mean slurm?"),
    "gpus without jobs": (["run", "dropout", "--gpus=1"], "--gpus goes with --executor=slurm or --executor=local"),
    "profile of jobs": (["run", "dropout", "--executor=local", "--profile=1-2"], "does not go with --executor"),
    "sbatch": (["run", "dropout", "--executor=slurm", "--sbatch=--=x"], "--sbatch takes NAME=VALUE"),
    "minutes": (["run", "dropout", "--max_minutes=0"], "--max_minutes must be above 0"),
    "minutes of jobs": (["run", "dropout", "--executor=local", "--max_minutes=9"], "give the jobs a --time_limit"),
    "checkpoints": (["run", "dropout", "--config.train.keep_checkpoints=0"], "keep_checkpoints must be at least 1"),
    "arm of an arm": (["run", "dropout", "--config.arms.dropout.arms.x=1"], "an arm has no field 'arms.x'"),
    "sample of nothing": (["sample", "foreign"], "not the folder of a run"),
    "cells of nothing": (["cells", "foreign"], "not the folder of a run"),
    "prediction by nothing known": (["predict", "file", "--model=mlp", "--weights=file"], "no published checkpoint"),
}  # fmt: skip


@pytest.fixture
def launch_here(tmp_path, monkeypatch, capsys):
    """As `launch`, without the seconds that a process takes to import everything."""
    door = runpy.run_path(str(ROOT / "launch.py"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "start", runtime.quiet)  # no cache of compiled programs for the tests after this one

    def launch_here(*line):
        try:
            status = door["main"](list(map(str, line)))
        except SystemExit as stop:  # argparse
            status = stop.code
        return status, *capsys.readouterr()

    return launch_here


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


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_status_2_and_nothing_written(tmp_path, launch_here, case):
    line, reason = BAD[case]
    (tmp_path / "file").write_text("x")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    status, output, errors = launch_here(*line)
    assert status == 2
    assert output == ""
    assert reason in errors
    assert errors.startswith("canon: ")
    assert errors.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


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


@pytest.mark.parametrize(
    "file",
    [
        "narrow/seed-0/metrics.jsonl",
        pytest.param("narrow/seed-0/result.json", marks=pytest.mark.slow),
        pytest.param("study.json", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, experiment, launch_here, file):
    assert launch_here("run", f"--config={experiment}", "--workdir=w", "--arms=narrow", "--config.seeds=1")[0] == 0
    (tmp_path / "w" / file).write_text("\u00ff\n")
    status, output, errors = launch_here("report", "w")
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert file in errors


def test_another_config_in_the_workdir_is_refused_and_the_study_not_touched(tmp_path, experiment, launch_here):
    line = ["run", f"--config={experiment}", "--workdir=w", "--arms=narrow", "--config.seeds=1"]
    assert launch_here(*line)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "w").rglob("*") if path.is_file()}
    status, output, errors = launch_here(*line, "--config.schedule.learning_rate=0.2")
    assert (status, output) == (2, "")
    assert "schedule.learning_rate: 0.1 there, 0.2 now" in errors
    assert {path: path.read_bytes() for path in (tmp_path / "w").rglob("*") if path.is_file()} == before


def test_a_typo_in_a_config_file_names_its_line(tmp_path, experiment, launch_here):
    experiment.write_text(EXPERIMENT.replace("config.train.log_every", "config.train.log_evry"))
    status, _, errors = launch_here("run", f"--config={experiment}")
    assert status == 2
    assert "width.py:10: config has no field 'log_evry'; did you mean train.log_every?" in errors


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


def test_importing_canon_and_a_model_brings_no_data_library_and_no_matplotlib():
    code = (
        "import sys, canon\nfrom canon.models import cifar_resnet\nprint(*{n.partition('.')[0] for n in sys.modules})"
    )
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(names) & {"matplotlib", "tensorflow_datasets", "sklearn", "grain", "tensorflow", "ml_collections"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_point_one_way_only():
    floors = [
        {"compile_options", "errors", "files", "huge_pages", "imagenet", "imports", "multiply_adds", "unraisable"},
        {"catalog", "cluster", "lock", "config", "roll_call", "sweep", "torch_pickle"},
        {"config_identity", "experiment_file", "hosts", "overrides", "layers", "weight_files"},
        {"models", "data", "losses", "schedules"}, {"optimizers", "analysis", "generation"},
        {"training"}, {"study"}, {"commands"},
    ]  # fmt: skip
    level = {room: i for i, rooms in enumerate(floors) for room in rooms}
    for path in (ROOT / "lib" / "canon").rglob("*.py"):
        own = path.relative_to(ROOT / "lib" / "canon").with_suffix("").parts[0]
        if own == "__init__":
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "canon" and len(parts) > 1 and parts[1] in level and parts[1] != own:
                assert level[parts[1]] <= level[own], f"{path} imports {name}"
                same_floor = level[parts[1]] == level[own]
                assert not same_floor or {parts[1], own} <= {"errors", "files", "catalog", "config"}, (
                    f"{path} imports {name}"
                )


def test_experiments_import_no_jax():
    for path in arguments.names(ROOT / "experiments"):
        assert not [name for name in imports(ROOT / "experiments" / f"{path}.py") if name.startswith(("jax", "flax"))]
