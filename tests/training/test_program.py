import dataclasses

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from canon.data.pipeline import examples
from canon.errors import UserError
from canon.study import plan
from canon.training import loop, program


def build(config, **changes):
    return program.build(plan.arm_configs(plan.merge(config, ConfigDict(changes)))["only"])


def loss_of_one_step(built, seed=0):
    _, metrics = built.train_step(built.init(seed), built.pipelines["train"].batch(seed, 0))
    return float(metrics["loss"].compute())


@pytest.mark.parametrize("changes", [{"pad_crop": 2}, {"flip": True}, {"normalize": "standardize"}])
def test_what_the_data_section_asks_for_reaches_the_step(tiny_config, changes):
    assert loss_of_one_step(build(tiny_config)) != loss_of_one_step(build(tiny_config, data=changes))


def test_evaluation_sees_the_images_as_they_are(tiny_config):
    plain, augmented = build(tiny_config), build(tiny_config, data={"pad_crop": 2, "flip": True})
    assert loop.evaluate(plain, plain.init(0), "test") == loop.evaluate(augmented, augmented.init(0), "test")


@pytest.mark.parametrize("devices", [1, 4])
def test_resident_examples_lie_where_the_step_wants_them(tiny_config, devices):
    built = build(tiny_config, parallel={"devices": devices})
    state, batch = built.init(0), built.pipelines["train"].batch(0, 0)
    wanted = built.train_step.lower(state, batch).compile().input_shardings[0][1]
    for name, array in batch.arrays.items():
        assert array.sharding.is_equivalent_to(wanted.arrays[name], array.ndim)


def test_a_loop_takes_the_batches_of_its_own_seed(tiny_config, tmp_path):
    built = build(tiny_config)
    seen = {}

    class Spy:
        def __init__(self, pipeline):
            self.pipeline = pipeline

        def __getattr__(self, name):
            return getattr(self.pipeline, name)

        def batches(self, seed, first, last):
            for batch in self.pipeline.batches(seed, first, last):
                seen.setdefault(seed, []).append(np.asarray(examples(batch)["label"]))
                yield batch

    spied = dataclasses.replace(built, pipelines=built.pipelines | {"train": Spy(built.pipelines["train"])})
    for seed in (0, 5):
        loop.train(spied, seed, tmp_path / str(seed))
    assert seen.keys() == {0, 5}
    assert (np.concatenate(seen[0]) != np.concatenate(seen[5])).any()


def test_arms_share_one_copy_of_the_data(tiny_config):
    one, other = build(tiny_config), build(tiny_config, model={"hidden": (5,)})
    assert one.pipelines["train"].arrays["image"] is other.pipelines["train"].arrays["image"]


def test_initialisation_without_optimisation_draws_the_same_parameters(tiny_config):
    state = build(tiny_config).init(3)
    again = build(tiny_config).init(3)
    other = build(tiny_config).init(4)
    jax.tree.map(np.testing.assert_array_equal, state, again)
    assert (state.params["hidden1"]["kernel"] != other.params["hidden1"]["kernel"]).any()
    assert (int(state.step), int(state.seed)) == (0, 3)


def test_building_compiles_nothing(tiny_config):
    built = build(tiny_config)
    assert built.train_step._cache_size() == built.evaluation_step._cache_size() == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train": {"log_every": 0}}, "train.log_every must be at least 1"),
        ({"train": {"steps": 2**31}}, "train.steps must be at most 2,147,483,647"),
        ({"train": {"batch_size": 1438}}, "between 1 and the 1437"),
        ({"data": {"normalize": "x"}}, "data.normalize"),
        ({"data": {"test_split": "x"}}, "train and test, not 'x'"),
        ({"parallel": {"devices": 3}}, "cannot be split evenly over 3 devices"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(tiny_config, changes, reason):
    with pytest.raises(UserError, match=reason):
        build(tiny_config, **changes)


def test_an_evaluation_batch_is_no_larger_than_the_data(tiny_config):
    assert build(tiny_config, train={"evaluation_batch_size": 10**12}).evaluation_batch_size == 1437
