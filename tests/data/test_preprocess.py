import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.data import augment, crops, pipeline, preprocess
from canon.data.augmentation import Augmentation
from canon.data.sources import ArraySource
from canon.errors import UserError


def whole_batch(source):
    return {"image": jnp.asarray(source.images), "label": jnp.asarray(source.labels)}


def test_mean_image_subtracts_the_training_mean_of_every_pixel(toy_source):
    images = preprocess.create(toy_source, "mean_image")(whole_batch(toy_source), None)["image"]
    expected = toy_source.images / 255 - toy_source.images.mean(axis=0) / 255
    np.testing.assert_allclose(images, expected, atol=1e-6)
    assert images.dtype == jnp.float32


def test_standardize_gives_every_channel_mean_0_and_deviation_1(random):
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
        np.testing.assert_array_equal(one, other)
    mean, deviation = preprocess.statistics(toy_source)
    np.testing.assert_allclose(mean, toy_source.images.mean(axis=0) / 255, rtol=1e-12)
    np.testing.assert_allclose(deviation, toy_source.images.std(axis=0) / 255, rtol=1e-9)


def test_it_augments_with_a_key_and_not_without(toy_source):
    prepare = jax.jit(preprocess.create(toy_source, "none", Augmentation(pad_crop=2, flip=True)))
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
    np.testing.assert_array_equal(
        preprocess.create(toy_source, "none", Augmentation(pad_crop=2, flip=True))(batch, key)["image"], expected
    )


@pytest.fixture
def colours(random):
    """40 images of 12×15 pixels in three channels that differ."""
    images = random.normal((60, 120, 200), (5, 30, 9), (40, 12, 15, 3)).clip(0, 255).astype(np.uint8)
    return ArraySource(images, np.zeros(40, np.int32), 1)


@pytest.mark.parametrize("leading", [(2,), (2, 10)])
def test_imagenet_is_torchvisions_normalisation_of_images_and_of_crops(leading, colours, random):
    images = random.integers(0, 256, (*leading, 4, 4, 3), dtype=np.uint8)
    out = preprocess.create(colours, "imagenet")({"image": jnp.asarray(images)}, None)["image"]
    expected = (images / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    assert out.dtype == jnp.float32


def test_imagenet_is_for_colours_only(toy_source):
    with pytest.raises(UserError, match="data.normalize=imagenet is for images of 3 channels, not 1"):
        preprocess.create(toy_source, "imagenet")


@pytest.mark.parametrize("size", [3, 12, 20])
def test_images_are_resized_on_the_device_and_their_mean_with_them(colours, size):
    batch = pipeline.create(colours, 16, "device").batch(0, 0)
    out = jax.jit(preprocess.create(colours, "mean_image", image_size=size))(batch, None)["image"]

    def resized(images):
        return jax.image.resize(images, (*images.shape[:-3], size, size, 3), "bilinear")

    mean = colours.images.mean(axis=0, dtype=np.float64).astype(np.float32)
    expected = resized(colours.images[batch.index].astype(np.float32)) - resized(mean)
    np.testing.assert_allclose(out, expected / 255, atol=1e-5)
    # Somebody else's resize, which rounds to whole numbers of 0 to 255.
    pillows = np.stack([crops.resize(image, size, size) for image in colours.images[batch.index]])
    plain = preprocess.create(colours, "none", image_size=size)(batch, None)["image"]
    np.testing.assert_allclose(plain * 255, pillows, atol=1.01)


def test_augmentation_sees_the_resized_images(colours):
    key = jax.random.key(0)
    crop_key, flip_key = jax.random.split(key)
    batch = whole_batch(colours)
    plain = preprocess.create(colours, "none", image_size=24)(batch, None)["image"]
    augmented = preprocess.create(colours, "none", Augmentation(pad_crop=3, flip=True), 24)(batch, key)["image"]
    np.testing.assert_array_equal(augmented, augment.flip(flip_key, augment.pad_crop(crop_key, plain, 3)))


@pytest.fixture
def cut():
    return crops.create("random_resized", 4, evaluation_scale=6)


def test_cropped_sets_are_standardised_by_what_an_evaluation_sees(colours, cut):
    batch = next(pipeline.create(colours, 8, crops=cut).evaluation_batches(40))
    out = preprocess.create(colours, "standardize", crops=cut)(jax.device_put(batch), None)["image"]
    np.testing.assert_allclose(out.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=(0, 1, 2)), 1, atol=1e-5)


def test_the_statistics_of_a_cropped_set_are_over_some_evenly_spaced_images(colours, cut, monkeypatch):
    monkeypatch.setattr(preprocess, "_MOST_DECODED", 10)
    mean, _ = preprocess.statistics(colours, crops=cut)
    seen = np.stack([cut.evaluation(image) for image in colours.images[::4]])
    np.testing.assert_allclose(mean, seen.mean(axis=0) / 255, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"normalize": "mean_image"}, "data.normalize=mean_image .*use imagenet, standardize or none"),
        (
            {"normalize": "none", "augmentation": Augmentation(pad_crop=4)},
            "augment.pad_crop does not go with data.crop",
        ),
    ],
)
def test_what_does_not_go_with_crops_is_refused(colours, cut, arguments, reason):
    with pytest.raises(UserError, match=reason):
        preprocess.create(colours, **arguments, crops=cut)


def test_a_normalization_that_does_not_exist_is_refused(toy_source):
    with pytest.raises(UserError, match="data.normalize must be one of .*, not 'mean'"):
        preprocess.create(toy_source, "mean")


@pytest.mark.parametrize("name", ["colour", "lighting"])
def test_what_needs_colours_is_refused_for_grey_images(toy_source, name):
    assert toy_source.image_shape[-1] != 3
    with pytest.raises(UserError, match=f"augment.{name} is for images of 3 channels"):
        preprocess.create(toy_source, "none", Augmentation(**{name: 0.1}))
