"""Twenty steps of networks of every kind, for whatever is to run them: `python -m tests.training.twenty_steps FOLDER`.

As a program it trains them in one of several processes, which are named as `launch.py run` names them, and the first of
them leaves what came out in FOLDER.
"""

import os
import sys
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from canon import config as canon_config
from canon import hosts
from canon.study import plan
from canon.training import loop, program

STEPS = 20

MODELS = {
    "mlp": {"model": {"name": "mlp", "hidden": (8,)}},
    "batch_norm": {"model": {"name": "cifar_resnet", "depth": 8}},
    "lstm": {
        "task": "language_model",
        "model": {"name": "char_rnn", "features": 8, "layers": 2},
        "data": {"chunk": 6},
    },
    "masked": {
        "task": "translation",
        "model": {"name": "seq2seq", "features": 8, "layers": 1, "embedding": 4},
        "data": {"source": "phrases", "length": 6, "examples": 40, "training_pairs": 100},
    },
}
"""An MLP, a convnet with batch normalisation, an LSTM with a carry, and batches in which rows count unequally."""


TEXT = "".join(f"{i} bottles of beer on the wall, {i} bottles of beer.\n" for i in range(99, 0, -1))


def train(name, folder, placement="auto", evaluate=True, **changes):
    """(the state after so many steps, what was recorded at each, an evaluation); changes are of `parallel`."""
    config = canon_config.default()
    with config.unlocked():
        for section, values in ConfigDict(MODELS[name]).items():
            if section == "data":
                config.data.update(values)
            else:
                config[section] = values
        if name == "lstm":
            config.data.text = str(folder / "text.txt")
            (folder / f"text.{os.getpid()}").write_text(TEXT)
            os.replace(folder / f"text.{os.getpid()}", folder / "text.txt")
        config.data.placement = placement
        # Where batches are normalised rounding grows from step to step, and faster at a larger rate.
        rate = 0.005 if name == "batch_norm" else 0.05
        config.schedule = ConfigDict({"name": "constant", "learning_rate": rate})
        config.train.update(batch_size=32, steps=STEPS, evaluation_batch_size=40)
        config.parallel.update(changes)
        config.arms = ConfigDict({"only": {}})
    built = program.build(plan.arm_configs(plan.complete(config))["only"])
    state, recorded = built.init(0), []
    for batch in built.pipelines["train"].batches(0, 0, STEPS):
        state, metrics = built.train_step(state, batch)
        recorded.append({key: float(mean.compute()) for key, mean in metrics.items()})
    return jax.device_get(state), recorded, loop.evaluate(built, state, "test") if evaluate else {}


def flat(outcome):
    """What `train` returned, as arrays by name."""
    state, recorded, evaluation = outcome
    leaves = jax.tree_util.tree_leaves_with_path({"params": state.params, "model_state": state.model_state})
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    arrays |= {f"carry{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state.carry))}
    arrays |= {f"recorded {name}": np.array([values[name] for values in recorded]) for name in recorded[0]}
    return arrays | {f"evaluated {name}": np.array(value) for name, value in evaluation.items()}


def assert_same(one, other, tolerance=1e-5):
    """The tolerance is absolute for parameters, statistics and carry; what was recorded may differ by a thousandth."""
    assert other.keys() <= one.keys()
    assert one.keys() - other.keys() <= {name for name in one if name.startswith("evaluated")}
    for name in other:
        expected = one[name]
        is_metric = name.startswith(("recorded", "evaluated"))
        loose = {"rtol": 100 * tolerance, "atol": 100 * tolerance}
        np.testing.assert_allclose(
            other[name], expected, **(loose if is_metric else {"rtol": 0, "atol": tolerance}), err_msg=name
        )


def works(num_processes):
    """(name, placement) of what so many processes train: two, as in the ordinary suite, what takes least."""
    return [("mlp", "stream"), ("batch_norm", "auto"), ("lstm", "auto"), *[("masked", "auto")] * (num_processes > 2)]


def evaluates(name, num_processes):
    """Whether they evaluate it too, for which each process would compile another program."""
    return name != "batch_norm" or num_processes > 2


def main(folder, coordinator, process_id, num_processes):
    """Trains `works`: images with the data on the device, and read as a stream."""
    hosts.join(hosts.Place(coordinator, int(process_id), int(num_processes), timeout=120.0))
    with hosts.leaving_at_once():
        assert jax.process_count() == int(num_processes)
        for name, placement in works(int(num_processes)):
            arrays = flat(train(name, folder, placement, evaluate=evaluates(name, int(num_processes))))
            if hosts.is_first():
                np.savez(folder / f"{name}-{placement}.npz", **arrays)


if __name__ == "__main__":
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    main(Path(sys.argv[1]), *sys.argv[2:])
