from dataclasses import fields

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp
from scipy import ndimage, stats

from canon.data import augment
from canon.data.augmentation import Augmentation
from canon.errors import UserError


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


COMPONENTS = augment.colour_components(np.array([[0.06, 0.05, 0.04], [0.05, 0.06, 0.05], [0.04, 0.05, 0.07]]))
COMPONENTS = COMPONENTS.astype(np.float32)


def mixed_images(key, images, alpha):
    return augment.mixup(key, images, jnp.zeros((len(images), 2)), alpha)[0]


# By name: of (key, images, strength), the strength, and the one at which nothing changes.
KINDS = {
    "pad_crop": (augment.pad_crop, 2, 0),
    "flip": (augment.flip, 0.5, 0.0),
    "affine": (lambda key, x, s: augment.affine(key, x, 20 * s, 0.2 * s, 0.2 * s, 2 * s), 1.0, 0.0),
    "rotate": (augment.rotate, 30.0, 0.0),
    "scale_crop": (augment.scale_crop, 2.0, 1.0),
    "brightness": (augment.brightness, 0.3, 0.0),
    "contrast": (augment.contrast, 0.5, 0.0),
    "colour": (augment.colour, 0.5, 0.0),
    "lighting": (lambda key, x, s: augment.lighting(key, x, s, COMPONENTS), 0.5, 0.0),
    "erase": (augment.erase, 0.7, 0.0),
    "mixup": (mixed_images, 1.0, 0),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_shape_and_dtype_stay_and_a_key_says_all(kind, dtype, random):
    function, strength, _ = KINDS[kind]
    images = jnp.asarray(random.uniform(size=(8, 6, 9, 3)), dtype)
    first, again, other = (jax.jit(function, static_argnums=2)(jax.random.key(k), images, strength) for k in (0, 0, 1))
    assert (first.shape, first.dtype) == (images.shape, dtype)
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).any()
    assert np.isfinite(np.asarray(first, np.float32)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_strength_is_the_identity(kind, random):
    function, _, none = KINDS[kind]
    images = jnp.asarray(random.uniform(size=(8, 6, 9, 3)), jnp.float32)
    for seed in range(5):
        np.testing.assert_array_equal(function(jax.random.key(seed), images, none), images)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"mixup"}))
def test_each_image_draws_for_itself(kind, random):
    function, strength, _ = KINDS[kind]
    images = jnp.asarray(random.uniform(size=(1, 6, 9, 3)), jnp.float32).repeat(16, axis=0)
    seen = np.unique(np.asarray(function(jax.random.key(0), images, strength)), axis=0)
    assert len(seen) > (1 if kind == "flip" else 8)


def mean_over_draws(function, image, strength, draws=20_000):
    """The mean and its standard error, pixel by pixel."""
    images = jnp.asarray(image[None].repeat(draws, axis=0), jnp.float32)
    drawn = np.asarray(jax.jit(function, static_argnums=2)(jax.random.key(7), images, strength), np.float64)
    return drawn.mean(axis=0), drawn.std(axis=0) / np.sqrt(draws) + 1e-7


def assert_is_the_mean(found, expected):
    mean, error = found
    assert (np.abs(mean - expected) < 5 * error).all()


@pytest.mark.parametrize("kind", ["brightness", "contrast", "colour", "lighting"])
def test_changes_of_light_and_colour_cancel_out_on_average(kind, random):
    function, strength, _ = KINDS[kind]
    image = random.uniform(size=(3, 4, 3))
    assert_is_the_mean(mean_over_draws(function, image, strength), image)


def test_the_mean_of_a_flip_is_halfway_to_the_mirror_image(random):
    image = random.uniform(size=(3, 4, 1))
    assert_is_the_mean(mean_over_draws(augment.flip, image, 0.3), 0.7 * image + 0.3 * image[:, ::-1])


def test_the_mean_of_all_crops_is_the_mean_over_their_places(random):
    image = random.uniform(size=(4, 4, 1))
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    expected = np.mean([padded[i : i + 4, j : j + 4] for i in range(3) for j in range(3)], axis=0)
    assert_is_the_mean(mean_over_draws(augment.pad_crop, image, 1), expected)


def test_the_mean_of_a_shift_by_up_to_a_pixel_is_that_of_bilinear_weights(random):
    image = random.uniform(size=(5, 5, 1))
    weights = np.array([0.25, 0.5, 0.25])  # of |t| even from 0 to 1: the mean of 1 − |t| is 1/2
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    expected = sum(weights[i] * weights[j] * padded[i : i + 5, j : j + 5] for i in range(3) for j in range(3))
    shift = mean_over_draws(lambda key, x, s: augment.affine(key, x, translation=s), image, 1.0)
    assert_is_the_mean(shift, expected)


def test_the_mean_of_mixup_is_halfway_to_the_mean_of_the_batch(random):
    images, labels = random.uniform(size=(4, 2, 2, 1)), np.eye(4)
    keys = jax.random.split(jax.random.key(0), 20_000)
    mix = jax.jit(jax.vmap(lambda key: augment.mixup(key, jnp.asarray(images, jnp.float32), jnp.eye(4), 0.7)))
    for before, after in zip((images, labels), mix(keys), strict=True):
        after = np.asarray(after, np.float64)
        expected = (before + before.mean(axis=0)) / 2
        assert (np.abs(after.mean(axis=0) - expected) < 5 * after.std(axis=0) / np.sqrt(20_000) + 1e-7).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), alpha=st.floats(0.05, 5))
def test_mixup_gives_an_image_and_its_label_the_same_weight(seed, alpha):
    images = jnp.eye(5, dtype=jnp.float32).reshape(5, 5, 1, 1)
    mixed, labels = augment.mixup(jax.random.key(seed), images, jnp.eye(5), alpha)
    np.testing.assert_allclose(mixed[:, :, 0, 0], labels, atol=1e-6)
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
    assert (labels >= 0).all()


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31), height=st.integers(2, 8), width=st.integers(2, 8))
def test_an_affine_map_is_scipys_resampling(seed, height, width):
    image = np.random.default_rng(seed).uniform(size=(height, width, 2)).astype(np.float32)
    matrix = np.eye(2) + np.random.default_rng(seed + 1).uniform(-0.5, 0.5, (2, 2))
    offset = np.random.default_rng(seed + 2).uniform(-2, 2, 2)
    ours = augment._resample(
        jnp.asarray(image[None]), jnp.asarray(matrix[None], jnp.float32), jnp.asarray(offset[None], jnp.float32)
    )
    centre = (np.array([height, width]) - 1) / 2
    for channel in range(2):
        theirs = ndimage.affine_transform(
            image[..., channel].astype(np.float64), matrix, centre - matrix @ centre + offset,
            order=1, mode="grid-constant",
        )  # fmt: skip
        np.testing.assert_allclose(ours[0, ..., channel], theirs, atol=2e-5)


def test_a_quarter_turn_is_numpys():
    image = jnp.arange(25.0).reshape(1, 5, 5, 1)
    turned = augment._resample(image, jnp.array([[[0.0, -1.0], [1.0, 0.0]]]), jnp.zeros((1, 2)))
    np.testing.assert_allclose(turned[0], np.rot90(image[0], -1), atol=1e-5)


@pytest.mark.parametrize("degrees", [5.0, 40.0])
def test_a_rotation_stays_below_its_angle_and_is_even(degrees):
    # A bright spot right of the centre moves along a circle; its angle is read off its centre of mass.
    size = 41
    spot = np.zeros((size, size, 1), np.float32)
    spot[18:23, 33:38] = 1
    turned = augment.rotate(jax.random.key(0), jnp.asarray(spot[None].repeat(500, axis=0)), degrees)
    turned = np.asarray(turned)[..., 0]
    at = np.arange(size) - 20
    mass = turned.sum(axis=(1, 2))
    y, x = (turned.sum(axis=axis) @ at / mass for axis in (2, 1))
    angles = np.rad2deg(np.arctan2(y, x))
    assert np.abs(angles).max() <= degrees + 0.2
    assert stats.kstest(angles, stats.uniform(-degrees, 2 * degrees).cdf).pvalue > 1e-3


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), largest=st.floats(1, 3))
def test_scaling_with_a_crop_shows_nothing_from_outside(seed, largest):
    images = jnp.ones((4, 7, 5, 1))
    np.testing.assert_allclose(augment.scale_crop(jax.random.key(seed), images, largest), 1, atol=1e-5)


def test_scaling_with_a_crop_reaches_the_edges_and_the_largest_factor():
    ramp = jnp.linspace(0.0, 1.0, 9)[None, None, :, None].repeat(9, axis=1).repeat(4000, axis=0)
    seen = np.asarray(augment.scale_crop(jax.random.key(0), ramp, 2.0))
    widths = seen[:, 0, -1, 0] - seen[:, 0, 0, 0]  # the share of the ramp that is left
    assert 0.5 - 1e-4 <= widths.min() < 0.51
    assert 0.99 < widths.max() <= 1 + 1e-4
    assert seen.min() < 0.01
    assert seen.max() > 0.99


def test_principal_components_are_those_of_the_covariance(random):
    root = random.normal(size=(3, 3))
    components = augment.colour_components(root @ root.T)
    np.testing.assert_allclose((components @ components.T), (root @ root.T) @ (root @ root.T), atol=1e-10)
    lengths = np.linalg.norm(components, axis=0)
    np.testing.assert_allclose(lengths, np.linalg.eigvalsh(root @ root.T)[::-1], atol=1e-10)


def test_lighting_varies_along_each_component_by_its_eigenvalue_as_often_as_the_paper_says():
    images = jnp.zeros((50_000, 1, 1, 3))
    lit = np.asarray(augment.lighting(jax.random.key(0), images, 0.1, COMPONENTS), np.float64)[:, 0, 0]
    np.testing.assert_allclose(np.cov(lit.T), 0.01 * COMPONENTS @ COMPONENTS.T, atol=2e-6)


@pytest.mark.parametrize("shape", [(32, 32), (8, 20)])
def test_what_is_erased_is_a_rectangle_of_the_papers_area(shape):
    images = jnp.full((3000, *shape, 1), 2.0)
    covered = np.asarray(augment.erase(jax.random.key(0), images, 0.5, fill=jnp.zeros(images.shape)))[..., 0] == 0
    hit = covered.any(axis=(1, 2))
    np.testing.assert_allclose(hit.mean(), 0.5, atol=5 * np.sqrt(0.25 / 3000))
    rows, columns = covered[hit].any(axis=2), covered[hit].any(axis=1)
    np.testing.assert_array_equal(covered[hit], rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):  # without a hole
        assert (np.abs(np.diff(side.astype(int), prepend=0, append=0, axis=1)).sum(axis=1) == 2).all()
    shares = covered[hit].mean(axis=(1, 2))
    assert shares.max() < 0.45
    if shape == (32, 32):  # where no side is cut
        assert 0.015 < shares.min() < 0.03
        np.testing.assert_allclose(np.median(shares), 0.21, atol=0.02)


def test_noise_covers_what_is_erased(random):
    images = jnp.full((200, 16, 16, 3), -1.0)
    erased = np.asarray(augment.erase(jax.random.key(0), images, 1.0))
    values = erased[erased != -1]
    assert (0 <= values.min() < 0.01, 0.99 < values.max() <= 1) == (True, True)
    np.testing.assert_allclose(values.mean(), 0.5, atol=0.01)


@pytest.mark.parametrize("name", [field.name for field in fields(Augmentation)])
def test_a_strength_outside_its_range_is_refused(name):
    with pytest.raises(UserError, match=f"augment.{name} must be at least"):
        Augmentation(**{name: -1})
    if name in ("scale", "erase"):
        with pytest.raises(UserError, match=f"augment.{name} must be at most 1, not 1.5"):
            Augmentation(**{name: 1.5})
