"""Runs of every kind, small: an experiment for tests that kill them, and what they leave, to be compared.

launch.py run --config=tests/faults/kinds.py:STEPS
"""

import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from canon import config as canon_config

TEXT = Path(__file__).with_name("bottles.txt")

ARMS = {
    "mlp": {"model": {"name": "mlp", "hidden": (16,), "dropout_rate": 0.2}, "data": {"validation_examples": 100}},
    "convnet": {
        "model": {"name": "cifar_resnet", "depth": 8},
        "augment": {"flip": True, "pad_crop": 1},
        "schedule": {"learning_rate": 0.01},
    },
    "char_rnn": {
        "task": "language_model",
        "model": {"name": "char_rnn", "features": 8, "layers": 2},
        "data": {"chunk": 6, "text": str(TEXT)},
    },
    "seq2seq": {
        "task": "translation",
        "model": {"name": "seq2seq", "features": 8, "layers": 1, "embedding": 4},
        "data": {"source": "phrases", "length": 6, "examples": 40, "training_pairs": 100},
    },
    "together": {"model": {"name": "mlp", "hidden": (8,)}, "parallel": {"seeds": "unroll"}},
}


def get_config(argument="30"):
    config = canon_config.default()
    config.title = "Does a run that is killed end as one that is not?"
    config.model = ConfigDict({"name": "mlp", "hidden": (8,)})
    config.optimizer = ConfigDict({"name": "adam"})
    config.schedule = ConfigDict({"name": "constant", "learning_rate": 0.02})
    config.train.update(batch_size=32, evaluation_batch_size=100, log_every=7, checkpoint_every=5)
    config.train.steps = int(argument)
    config.train.evaluate_every = int(argument) // 3
    config.arms = ConfigDict(ARMS)
    config.seeds = 2
    return config


def left_by(workdir):
    """What the runs in a workdir have left, by name: arrays, lines of metrics and results, without times."""
    from canon.training.checkpoint import Checkpoints

    found = {}
    for path in sorted(workdir.glob("*/seed-*")):
        run = path.relative_to(workdir).as_posix()
        lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        found[f"{run}: lines"] = [
            {name: value for name, value in line.items() if not name.startswith("speed/")} for line in lines
        ]
        result = json.loads((path / "result.json").read_text())
        found[f"{run}: result"] = {name: result[name] for name in ("status", "step", "metrics", "best_on_validation")}
        for folder in ("checkpoints", "best"):
            if (path / folder).is_dir():
                with Checkpoints(path / folder) as checkpoints:
                    step = checkpoints.latest_step()
                    manifest, _ = checkpoints.verify(step)
                    found[f"{run}: {folder}"] = step, manifest["leaves"]
    return found


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_equal(other[name], one[name], err_msg=name)
