import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from canon.data import augment


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), padding=st.integers(0, 3), height=st.integers(1, 5), width=st.integers(1, 5))
def test_pad_crop_cuts_a_window_out_of_the_padded_image(seed, padding, height, width):
    images = np.random.default_rng(seed).normal(size=(3, height, width, 2)).astype(np.float32)
    cropped = augment.pad_crop(jax.random.key(seed), jnp.asarray(images), padding)
    assert cropped.shape == images.shape
    assert cropped.dtype == images.dtype
    for image, crop in zip(images, np.asarray(cropped), strict=True):
        padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(0, 1)).transpose(
            0, 1, 3, 4, 2
        )
        assert (windows == crop).all(axis=(2, 3, 4)).any()


def test_pad_crop_reaches_every_place_equally_often():
    images = jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1).repeat(9000, axis=0)
    cropped = augment.pad_crop(jax.random.key(0), images, 1)
    # The image's centre, 5, lands on each of the 3 × 3 pixels in one of nine crops.
    places = np.asarray((cropped[..., 0] == 5).sum(axis=0))
    np.testing.assert_allclose(places, 1000, atol=4 * np.sqrt(9000 * 1 / 9 * 8 / 9))


def test_crops_of_one_batch_differ(random):
    images = jnp.asarray(random.normal(size=(1, 8, 8, 1))).repeat(16, axis=0)
    assert len(np.unique(np.asarray(augment.pad_crop(jax.random.key(0), images, 4)), axis=0)) > 8


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.float32])
def test_flip_mirrors_about_half_and_leaves_the_rest(dtype, random):
    images = jnp.asarray(random.integers(0, 200, (2000, 3, 4, 1)), dtype)
    flipped = augment.flip(jax.random.key(0), images)
    assert flipped.dtype == dtype
    mirrored = (np.asarray(flipped) == np.asarray(images)[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (np.asarray(flipped) == np.asarray(images)).all(axis=(1, 2, 3))
    assert (mirrored | same).all()
    np.testing.assert_allclose(mirrored.sum(), 1000, atol=4 * np.sqrt(500))


@pytest.mark.parametrize(("probability", "reversed_"), [(0.0, False), (1.0, True)])
def test_flip_with_certainty(probability, reversed_, random):
    images = jnp.asarray(random.normal(size=(5, 3, 4, 2)))
    expected = images[:, :, ::-1] if reversed_ else images
    np.testing.assert_array_equal(augment.flip(jax.random.key(0), images, probability), expected)


@pytest.mark.parametrize("function", [augment.flip, lambda key, images: augment.pad_crop(key, images, 2)])
def test_the_same_key_gives_the_same_images_and_another_key_others(function, random):
    images = jnp.asarray(random.normal(size=(8, 6, 6, 1)))
    first, again, other = (function(jax.random.key(k), images) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).any()
