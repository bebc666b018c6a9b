"""What a user gets wrong: one line, status 2, and nothing written."""

import pytest
from tests.processes import EXPERIMENT

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
