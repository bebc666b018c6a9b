"""Whatever runs the step, it is the same step: devices, `jit` and `pmap`, micro-batches."""

import functools

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError
from canon.study import plan
from canon.training import loop, parallel, program

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


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(name, changes of `parallel`) -> the state after so many steps, what was recorded at each, an evaluation."""
    text = tmp_path_factory.mktemp("text") / "text.txt"
    text.write_text("".join(f"{i} bottles of beer on the wall, {i} bottles of beer.\n" for i in range(99, 0, -1)))

    @functools.cache
    def train(name, **changes):
        config = canon_config.default()
        with config.unlocked():
            for section, values in ConfigDict(MODELS[name]).items():
                config[section] = values if section in ("task", "model") else config[section]
                if section == "data":
                    config.data.update(values)
            config.data.text = str(text) if name == "lstm" else ""
            config.schedule = ConfigDict({"name": "constant", "learning_rate": 0.05})
            config.train.update(batch_size=32, steps=STEPS, evaluation_batch_size=40)
            config.parallel.update(changes)
            config.arms = ConfigDict({"only": {}})
        built = program.build(plan.arm_configs(plan.complete(config))["only"])
        state, recorded = built.init(0), []
        for batch in built.pipelines["train"].batches(0, 0, STEPS):
            state, metrics = built.train_step(state, batch)
            recorded.append({key: float(mean.compute()) for key, mean in metrics.items()})
        return jax.device_get(state), recorded, loop.evaluate(built, state, "test")

    return train


def assert_same(one, other, tolerance=1e-5):
    """Parameters, statistics, carry and what was recorded; the tolerance is absolute for parameters."""
    for part in ("params", "model_state", "carry"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance),
            getattr(one[0], part),
            getattr(other[0], part),
        )
    for a, b in zip(one[1], other[1], strict=True):
        assert a == pytest.approx(b, rel=100 * tolerance, abs=100 * tolerance)
    assert one[2] == pytest.approx(other[2], rel=100 * tolerance, abs=100 * tolerance)


def test_there_are_several_devices_to_test_on():
    assert jax.local_device_count() == 8


@pytest.mark.parametrize(
    ("devices", "batch_size", "reason"), [(9, 64, "the 8 there are"), (-1, 64, "8"), (8, 12, "evenly")]
)
def test_a_mesh_that_does_not_fit_is_refused(devices, batch_size, reason):
    with pytest.raises(UserError, match=reason):
        parallel.data_mesh(devices, batch_size)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step": "pnap"}, "must be one of jit, pmap, not 'pnap'; did you mean pmap"),
        ({"batch_statistics": "local"}, "must be one of global, device, not 'local'"),
        ({"micro_batches": 0}, "at least 1, not 0"),
        ({"micro_batches": 3}, "does not divide the 32 examples"),
        ({"micro_batches": 8, "devices": 8}, "does not divide the 4 examples"),
    ],
)
def test_a_section_that_does_not_fit_is_refused(changes, reason):
    config = canon_config.default().parallel
    config.update(changes)
    with pytest.raises(UserError, match=reason):
        parallel.check(config, 32)


def test_zero_takes_all_devices():
    assert parallel.data_mesh(0, 64).size == 8


@pytest.mark.parametrize("step", ["jit", "pmap"])
@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("name", MODELS)
def test_devices_change_nothing(trained, name, devices, step):
    if (devices, step) != (1, "jit"):
        assert_same(trained(name, devices=devices, step=step), trained(name))


@pytest.mark.parametrize("changes", [{}, {"devices": 2}, {"devices": 2, "step": "pmap"}], ids=str)
@pytest.mark.parametrize("name", [name for name in MODELS if name != "batch_norm"])
def test_micro_batches_change_nothing(trained, name, changes):
    assert_same(trained(name, micro_batches=4, **changes), trained(name))
