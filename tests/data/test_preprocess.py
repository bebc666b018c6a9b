import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.data import augment, pipeline, preprocess
from canon.errors import UserError


def whole_batch(source):
    return {"image": jnp.asarray(source.images), "label": jnp.asarray(source.labels)}


def test_mean_image_subtracts_the_training_mean_of_every_pixel(toy_source):
    images = preprocess.create(toy_source, "mean_image")(whole_batch(toy_source), None)["image"]
    expected = toy_source.images / 255 - toy_source.images.mean(axis=0) / 255
    np.testing.assert_allclose(images, expected, atol=1e-6)
    assert images.dtype == jnp.float32


def test_standardize_gives_every_channel_mean_0_and_deviation_1(random):
    from canon.data.sources import ArraySource

    images = (random.normal((60, 120, 200), (5, 30, 9), (50, 6, 5, 3)).clip(0, 255)).astype(np.uint8)
    source = ArraySource(images, np.zeros(50, np.int32), 1)
    out = np.asarray(preprocess.create(source, "standardize")(whole_batch(source), None)["image"], np.float64)
    np.testing.assert_allclose(out.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=(0, 1, 2)), 1, atol=1e-5)


def test_none_scales_to_0_to_1(toy_source):
    images = preprocess.create(toy_source, "none")(whole_batch(toy_source), None)["image"]
    np.testing.assert_allclose(images, toy_source.images / 255, atol=1e-7)


def test_statistics_do_not_depend_on_the_chunk(toy_source):
    for one, other in zip(preprocess.statistics(toy_source, 7), preprocess.statistics(toy_source, 1000), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    mean, deviation = preprocess.statistics(toy_source)
    np.testing.assert_allclose(mean, toy_source.images.mean(axis=0) / 255, rtol=1e-12)
    np.testing.assert_allclose(deviation, toy_source.images.std(axis=0) / 255, rtol=1e-9)


def test_it_augments_with_a_key_and_not_without(toy_source):
    prepare = jax.jit(preprocess.create(toy_source, "none", pad_crop=2, flip=True))
    batch = pipeline.create(toy_source, 16).batch(0, 0)
    plain = prepare(batch, None)
    augmented = prepare(batch, jax.random.key(0))
    np.testing.assert_allclose(plain["image"], toy_source.images[batch.index] / 255, atol=1e-7)
    assert (plain["image"] != augmented["image"]).any()
    np.testing.assert_array_equal(augmented["label"], plain["label"])


def test_crop_and_flip_draw_from_keys_of_their_own(toy_source):
    key = jax.random.key(3)
    crop_key, flip_key = jax.random.split(key)
    batch = whole_batch(toy_source)
    plain = preprocess.create(toy_source, "none")(batch, None)["image"]
    expected = augment.flip(flip_key, augment.pad_crop(crop_key, plain, 2))
    np.testing.assert_array_equal(preprocess.create(toy_source, "none", 2, True)(batch, key)["image"], expected)


@pytest.mark.parametrize("wrong", [{"normalize": "mean"}, {"normalize": "none", "pad_crop": -1}])
def test_a_value_outside_its_range_is_refused(toy_source, wrong):
    with pytest.raises(UserError, match="data"):
        preprocess.create(toy_source, **wrong)
