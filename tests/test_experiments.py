import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from canon import experiment_file, models, schedules
from canon.commands import arguments, run
from canon.data import sources
from canon.study import plan
from canon.study.verdict import deviations
from canon.study.workdir import Study
from canon.training import image_workload

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "experiments"
WAYS = [
    (name, argument)
    for name in arguments.names(EXPERIMENTS)
    for argument in experiment_file.load(EXPERIMENTS / f"{name}.py").arguments
]


def load(name, argument):
    return plan.complete(experiment_file.load(EXPERIMENTS / f"{name}.py", argument))


@pytest.mark.parametrize(("name", "argument"), WAYS)
def test_every_way_to_run_an_experiment_is_whole(name, argument):
    config = load(name, argument)
    plan.check_claims(config)
    assert plan.arm_configs(config)
    assert config.title.endswith("?")
    assert config.paper
    assert config.cost
    assert config.claims
    assert config.seeds >= 3
    assert all(claim.published and claim.source for claim in config.claims.values())


@pytest.mark.parametrize("argument", ["cifar10", "cifar10_figure6"])
def test_cifar10_is_the_protocol_of_he_et_al_to_the_letter(argument):
    config = load("plain_vs_residual", argument)
    schedule = schedules.create(**config.schedule, steps=config.train.steps)
    rates = [round(float(schedule(step)), 6) for step in (0, 31_999, 32_000, 47_999, 48_000)]
    assert rates == [0.1, 0.1, 0.01, 0.01, 0.001]
    assert (config.train.steps, config.train.batch_size) == (64_000, 128)
    assert config.optimizer.to_dict() == {
        "name": "momentum", "momentum": 0.9, "weight_decay": 1e-4, "nesterov": False, "decay": "all",
        "clip_norm": None, "clip_value": None, "max_norm": None,
    }  # fmt: skip
    assert (config.data.source, config.augment.pad_crop, config.augment.flip) == ("cifar10", 4, True)
    assert config.data.normalize == "mean_image"
    assert all(
        arm.model.shortcut == ("A" if "residual" in name else "none") for name, arm in plan.arm_configs(config).items()
    )
    protocol = load("plain_vs_residual", config.protocol)
    assert deviations(Study("", "", config, protocol, "")) == []


def test_figure_6_has_every_depth_and_only_the_deepest_net_warms_up():
    arms = plan.arm_configs(load("plain_vs_residual", "cifar10_figure6"))
    depths = {name: arm.model.depth for name, arm in arms.items()}
    plain = {f"plain-{d}": d for d in (20, 32, 44, 56)}
    assert depths == plain | {f"residual-{d}": d for d in (20, 32, 44, 56, 110)}
    assert {name for name, arm in arms.items() if arm.schedule.warmup_steps} == {"residual-110"}


def test_an_override_of_the_protocol_shows_as_a_deviation():
    config = load("plain_vs_residual", "cifar10")
    protocol = load("plain_vs_residual", "cifar10")
    config.train.steps = 4000
    listed = deviations(Study("", "", config, protocol, ""))
    assert listed == ["train.steps is 4000; the paper's protocol has 64000."]


@pytest.mark.slow
def test_the_default_study_reproduces_with_three_seeds(tmp_path):
    line = [sys.executable, str(ROOT / "launch.py"), "run", "plain_vs_residual", f"--workdir={tmp_path / 'w'}"]
    subprocess.run(line, check=True, timeout=1800, cwd=tmp_path)
    verdict = json.loads((tmp_path / "w" / "verdict.json").read_text())
    assert verdict["verdict"] == "reproduced"
    assert [claim["n"] for claim in verdict["claims"].values()] == [3, 3, 3]


# The least side, about, of an image that the network takes; 0 for the digits' own eight pixels.
LEAST_SIDE = {
    "alexnet": 67,
    "alexnet_one_column": 63,
    "zfnet": 67,
    "googlenet": 84,
    "lenet5": 32,
    "lenet5_modern": 12,
} | {f"vgg{depth}": 32 for depth in (11, 13, 16, 19)}


@pytest.fixture
def two_dozen_digits(monkeypatch):
    """The digits, but 24 of each split: networks of a hundred layers are to see all of them."""

    def forget():
        for cached in (image_workload._splits, image_workload._pipelines, image_workload._preprocess):
            cached.cache_clear()

    whole = sources.digits
    monkeypatch.setattr(sources, "digits", lambda split: sources.Subset(whole(split), np.arange(24)))
    forget()
    yield
    forget()


# Up to two minutes of compiling each; of networks for ImageNet resnet18 stays.
LONG = {
    "alexnet",
    "alexnet_one_column",
    "googlenet",
    "plain18",
    "plain34",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "se_resnet50",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "zfnet",
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in models.names("image")]
)
def test_every_network_trains_in_the_place_of_another(name, tmp_path, two_dozen_digits):
    line = ["cifar10_classifier", "--arms=cnn", f"--workdir={tmp_path / 'w'}", f"--config.arms.cnn.model.name={name}"]
    sizes = ["--config.seeds=1", "--config.train.steps=1", "--config.train.batch_size=4"]
    status = run.main([*line, *sizes, f"--config.data.image_size={LEAST_SIDE.get(name, 0)}"], EXPERIMENTS)
    assert status == 0
    result = json.loads((tmp_path / "w" / "cnn" / "seed-0" / "result.json").read_text())
    assert result["status"] == "finished"
