import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from canon.errors import UserError
from canon.study import plan
from canon.training import loop, parallel, program


def test_there_are_several_devices_to_test_on():
    assert jax.local_device_count() == 8


@pytest.mark.parametrize(
    ("devices", "batch_size", "reason"), [(9, 64, "the 8 there are"), (-1, 64, "8"), (8, 12, "evenly")]
)
def test_a_mesh_that_does_not_fit_is_refused(devices, batch_size, reason):
    with pytest.raises(UserError, match=reason):
        parallel.data_mesh(devices, batch_size)


def test_zero_takes_all_devices():
    assert parallel.data_mesh(0, 64).size == 8


def states(config, devices, placement, steps):
    config = plan.merge(config, ConfigDict({"parallel": {"devices": devices}, "data": {"placement": placement}}))
    built = program.build(plan.arm_configs(config)["only"])
    state = built.init(0)
    for batch in built.pipelines["train"].batches(0, 0, steps):
        state, _ = built.train_step(state, batch)
    return state, loop.evaluate(built, state, "test")


@pytest.mark.parametrize("placement", ["device", "stream"])
@pytest.mark.parametrize("model", [{"name": "mlp", "hidden": (8,)}, {"name": "cifar_resnet", "depth": 8}])
def test_four_devices_give_what_one_gives(tiny_config, model, placement):
    config = plan.merge(tiny_config, ConfigDict({"model": model}))
    one, metrics_of_one = states(config, 1, "device", 6)
    four, metrics_of_four = states(config, 4, placement, 6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5), one.params, four.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5), one.model_state, four.model_state)
    assert metrics_of_four["test/error"] == pytest.approx(metrics_of_one["test/error"], abs=1.5 / 360)
    assert len(four.step.sharding.device_set) == 4
