import dataclasses

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from ml_collections import ConfigDict
from scipy.special import log_softmax

from canon import config as canon_config
from canon import imagenet
from canon.data import crops
from canon.data.augmentation import Augmentation
from canon.data.pipeline import examples
from canon.errors import UserError
from canon.study import plan
from canon.training import loop, program

CROPPED = {
    "crop": "scale_jitter",
    "image_size": 32,
    "crop_scales": (36, 48),
    "evaluation_scale": 36,
    "evaluation_crops": 10,
    "normalize": "none",
}


AUGMENTATIONS = {
    "rotation": 20.0, "scale": 0.2, "shear": 0.2, "translation": 1.0, "scale_crop": 1.5, "brightness": 0.2,
    "contrast": 0.3, "pad_crop": 2, "flip": True, "erase": 0.5, "mixup": 1.0,
}  # fmt: skip


def build(config, **changes):
    return program.build(plan.arm_configs(plan.merge(config, ConfigDict(changes)))["only"])


def loss_of_one_step(built, seed=0):
    _, metrics = built.train_step(built.init(seed), built.pipelines["train"].batch(seed, 0))
    return float(metrics["loss"].compute())


def test_the_objective_is_what_a_step_descends_with_the_same_draws(tiny_config):
    built = build(tiny_config, model={"dropout_rate": 0.5}, augment={"rotation": 20.0})
    state, batch = built.init(0).replace(step=jnp.int32(3)), built.pipelines["train"].batch(0, 3)
    loss = jax.jit(built.objective)(state.params, state, batch)
    _, metrics = built.train_step(state, batch)
    np.testing.assert_allclose(loss, metrics["loss"].compute(), rtol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"normalize": "standardize"}},
        *({"augment": {name: value}} for name, value in AUGMENTATIONS.items()),
    ],
    ids=str,
)
def test_what_the_config_asks_for_reaches_the_step(tiny_config, changes):
    assert loss_of_one_step(build(tiny_config)) != loss_of_one_step(build(tiny_config, **changes))


def test_every_augmentation_is_a_field_of_the_config_and_off_by_default():
    asked = canon_config.default().augment.to_dict()
    assert Augmentation(**asked) == Augmentation()
    assert asked == {field.name: field.default for field in dataclasses.fields(Augmentation)}
    assert {*AUGMENTATIONS, "colour", "lighting"} == asked.keys()  # these two want colours


def test_evaluation_sees_the_images_as_they_are(tiny_config):
    plain, augmented = build(tiny_config), build(tiny_config, augment={"pad_crop": 2, "flip": True})
    assert loop.evaluate(plain, plain.init(0), "test") == loop.evaluate(augmented, augmented.init(0), "test")


@pytest.mark.parametrize("devices", [1, 4])
def test_resident_examples_lie_where_the_step_wants_them(tiny_config, devices):
    built = build(tiny_config, parallel={"devices": devices})
    state, batch = built.init(0), built.pipelines["train"].batch(0, 0)
    wanted = built.train_step.compile(state, batch).input_shardings[0][1]
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
    assert built.train_step.programs == built.evaluation_step.programs == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train": {"log_every": 0}}, "train.log_every must be at least 1"),
        ({"train": {"steps": 2**31}}, "train.steps must be at most 2,147,483,647"),
        ({"train": {"batch_size": 1438}}, "between 1 and the 1437"),
        ({"data": {"normalize": "x"}}, "data.normalize"),
        ({"data": {"crop": "scale_jitter"}}, "data.crop=scale_jitter needs .*data.image_size"),
        ({"data": CROPPED | {"evaluation_crops": 3}}, "data.evaluation_crops"),
        ({"data": CROPPED | {"evaluation_scale": 31}}, "data.evaluation_scale"),
        ({"data": CROPPED | {"crop_scales": (48, 36)}}, "data.crop_scales"),
        ({"data": CROPPED | {"placement": "device"}}, "data.placement=device"),
        ({"data": CROPPED, "augment": {"pad_crop": 1}}, "augment.pad_crop"),
        ({"augment": {"erase": 1.5}}, "augment.erase must be at most 1, not 1.5"),
        ({"augment": {"lighting": 0.1}}, "augment.lighting is for images of 3 channels, not 1"),
        ({"loss": {"name": "softmax_cross_entropy", "label_smoothing": 1.0}}, "label_smoothing must be"),
        ({"data": CROPPED | {"normalize": "mean_image"}}, "data.normalize=mean_image"),
        ({"data": CROPPED | {"normalize": "imagenet"}}, "data.normalize=imagenet is for images of 3 channels"),
        ({"data": {"test_split": "x"}}, "train and test, not 'x'"),
        ({"parallel": {"devices": 3}}, "cannot be split evenly over 3 devices"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(tiny_config, changes, reason):
    with pytest.raises(UserError, match=reason):
        build(tiny_config, **changes)


def test_an_evaluation_batch_is_no_larger_than_the_data(tiny_config):
    assert build(tiny_config, train={"evaluation_batch_size": 10**12}).evaluation_batch_size("test") == 1437


def test_an_evaluation_batch_counts_every_crop_of_an_image(tiny_config):
    ten = build(tiny_config, data=CROPPED, train={"evaluation_batch_size": 200})
    assert ten.evaluation_batch_size("test") == 20
    assert ten.evaluation_batch_size("train") == 20 * 10  # it is seen in single crops
    few = build(tiny_config, data=CROPPED, train={"evaluation_batch_size": 7}, parallel={"devices": 4})
    assert few.evaluation_batch_size("test") == 4


def test_small_images_feed_a_network_that_needs_larger_ones(tiny_config):
    built = build(tiny_config, data={"image_size": 20}, augment={"flip": True})
    state = built.init(0)
    assert state.params["hidden1"]["kernel"].shape[0] == 20 * 20
    assert built.pipelines["train"].arrays["image"].shape == (1437, 8, 8, 1)
    assert np.isfinite(list(loop.evaluate(built, state, "test").values())).all()
    assert np.isfinite(loss_of_one_step(built))


@pytest.fixture
def photograph_config(tiny_config, photographs):
    """A run on photographs of different sizes, 4 steps with batches of 8, evaluated on ten crops."""
    data = CROPPED | {"source": "canon_photographs", "data_dir": photographs, "test_split": "validation"}
    train = {"batch_size": 8, "steps": 4, "evaluation_batch_size": 30}
    return plan.merge(
        tiny_config, ConfigDict({"data": data | {"normalize": "imagenet"}, "augment": {"flip": True}, "train": train})
    )


def test_a_convolutional_network_trains_on_photographs(photograph_config, tmp_path):
    config = plan.merge(photograph_config, ConfigDict({"model": {"name": "cifar_resnet", "depth": 8}}))
    result = loop.train(build(config, train={"steps": 2}), 0, tmp_path)
    assert (result.status, result.step) == ("finished", 2)
    for name in ("train/loss", "train/error", "test/loss", "test/error"):
        assert np.isfinite(result.metrics[name])


@pytest.mark.parametrize("crop", ["scale_jitter", "random_resized"])
def test_a_run_on_photographs_that_was_stopped_ends_with_the_same_bits(photograph_config, crop, tmp_path):
    built = build(photograph_config, data={"crop": crop})
    whole = loop.train(built, 1, tmp_path / "whole")
    with pytest.raises(loop.Interrupted):
        loop.train(built, 1, tmp_path / "parts", should_stop=lambda: True)
    parts = loop.train(built, 1, tmp_path / "parts")
    assert {k: v for k, v in parts.metrics.items() if "speed" not in k} == {
        k: v for k, v in whole.metrics.items() if "speed" not in k
    }


def test_test_images_are_predicted_by_ten_crops_and_training_images_by_one(photograph_config):
    built = build(photograph_config)
    state = built.init(0)
    params = jax.tree.map(np.asarray, state.params)

    def log_probabilities(crop):
        x = ((crop / 255 - imagenet.MEAN) / imagenet.DEVIATION).reshape(-1)
        x = np.maximum(x @ params["hidden1"]["kernel"] + params["hidden1"]["bias"], 0)
        return log_softmax(x @ params["classifier"]["kernel"] + params["classifier"]["bias"])

    for split, cut in (("test", crops.ten_crops), ("train", lambda image, size: crops.center_crop(image, size)[None])):
        source = built.pipelines[split].source
        losses = []
        for i in range(len(source)):
            seen = cut(crops.resize_shorter_side(source[i]["image"], 36), 32)
            mean = np.mean([np.exp(log_probabilities(crop)) for crop in seen], axis=0)
            losses.append(-np.log(mean[source[i]["label"]]))
        # Three images in a batch: the last one of either split is filled up.
        assert len(losses) % built.evaluation_batch_size("test")
        np.testing.assert_allclose(loop.evaluate(built, state, split)[f"{split}/loss"], np.mean(losses), rtol=1e-5)


def test_photographs_without_a_crop_are_refused_with_the_way_out(photograph_config):
    with pytest.raises(UserError, match="--config.data.crop=scale_jitter --config.data.image_size=224"):
        build(photograph_config, data={"crop": "none", "evaluation_crops": 1})
