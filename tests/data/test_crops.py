import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import image as jax_image
from PIL import Image
from scipy import stats

from canon.data import crops
from canon.errors import UserError

SIDES = st.integers(1, 60)


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def coordinates(height, width):
    """An image whose pixels say where they are: row, column, 0."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(40, 17), (9, 100), (30, 20)])
def test_resize_is_pillows_with_bilinear_weights(height, width):
    image = picture(30, 50)
    expected = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(crops.resize(image, height, width), np.asarray(expected))


@pytest.mark.parametrize(("height", "width"), [(40, 170), (9, 20)])
def test_resize_agrees_with_jaxs_antialiased_one(height, width):
    image = picture(30, 50)
    expected = jax_image.resize(image.astype(np.float32), (height, width, 3), "bilinear", antialias=True)
    np.testing.assert_allclose(crops.resize(image, height, width), expected, atol=1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_resize_treats_every_channel_alike(channels):
    image = picture(20, 31, channels)
    resized = crops.resize(image, 13, 17)
    assert resized.shape == (13, 17, channels)
    for i in range(channels):
        np.testing.assert_array_equal(resized[..., i], crops.resize(image[..., i : i + 1], 13, 17)[..., 0])


@given(height=SIDES, width=SIDES, size=SIDES)
@settings(max_examples=50)
def test_the_shorter_side_gets_its_size_and_the_longer_its_proportion(height, width, size):
    resized = crops.resize_shorter_side(picture(height, width), size)
    assert min(resized.shape[:2]) == size
    assert abs(max(resized.shape[:2]) - size * max(height, width) / min(height, width)) <= 0.5
    assert (resized.shape[0] > resized.shape[1]) <= (height > width)


def test_an_image_of_the_right_size_is_left_as_it_is():
    image = picture(24, 31)
    np.testing.assert_array_equal(crops.resize_shorter_side(image, 24), image)


def test_center_crop_is_the_middle():
    image = coordinates(20, 30)
    np.testing.assert_array_equal(crops.center_crop(image, 8), image[6:14, 11:19])
    np.testing.assert_array_equal(crops.center_crop(image, 9), image[5:14, 10:19])  # an odd pixel is left below


def test_ten_crops_are_corners_middle_and_their_mirror_images():
    image = picture(20, 30)
    ten = crops.ten_crops(image, 8)
    assert ten.shape == (10, 8, 8, 3)
    slices = [image[:8, :8], image[:8, -8:], image[-8:, :8], image[-8:, -8:], image[6:14, 11:19]]
    for i, expected in enumerate(slices):
        np.testing.assert_array_equal(ten[i], expected)
        np.testing.assert_array_equal(ten[i + 5], np.asarray(Image.fromarray(expected).transpose(0)))


@given(height=SIDES, width=SIDES, channels=st.integers(1, 4), size=st.integers(1, 30), seed=st.integers(0, 9))
@settings(max_examples=60)
def test_an_image_of_any_size_gives_crops_of_one(height, width, channels, size, seed):
    image = picture(height, width, channels)
    cut = crops.create("scale_jitter", size, (size, size + 5), evaluation_crops=10, evaluation_scale=size + 2)
    assert cut.training(np.random.default_rng(seed), image).shape == (size, size, channels)
    assert cut.evaluation(image).shape == (10, size, size, channels)
    cut = crops.create("random_resized", size, evaluation_scale=size)
    for seen in (cut.training(np.random.default_rng(seed), image), cut.evaluation(image)):
        assert seen.shape == (size, size, channels)
        assert seen.dtype == np.uint8


@pytest.mark.parametrize("crop", ["scale_jitter", "random_resized"])
def test_the_same_generator_gives_the_same_crop_and_another_one_another(crop):
    image, training = picture(40, 60), crops.create(crop, 16, (18, 40), evaluation_scale=16).training
    first, again, other = (training(np.random.default_rng(seed), image) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_scale_jitter_cuts_from_the_image_at_every_scale_of_its_range():
    image, scales = picture(40, 57), range(16, 21)
    resized = {scale: crops.resize_shorter_side(image, scale) for scale in scales}
    windows = {
        crop.tobytes(): (scale, top, left)
        for scale, whole in resized.items()
        for top in range(whole.shape[0] - 15)
        for left in range(whole.shape[1] - 15)
        for crop in [whole[top : top + 16, left : left + 16]]
    }
    rng = np.random.default_rng(0)
    drawn = [windows[crops.scale_jitter(rng, image, 16, (16, 20)).tobytes()] for _ in range(2000)]
    assert stats.chisquare([sum(scale == s for scale, _, _ in drawn) for s in scales]).pvalue > 1e-3
    places = {(top, left) for scale, top, left in drawn if scale == 20}
    assert places == set(itertools.product(range(5), range(resized[20].shape[1] - 15)))


def test_random_resized_is_its_box_resized():
    image = picture(40, 57)
    top, left, height, width = crops.random_box(np.random.default_rng(3), 40, 57)
    expected = crops.resize(image[top : top + height, left : left + width], 16, 16)
    np.testing.assert_array_equal(crops.random_resized(np.random.default_rng(3), image, 16), expected)


def test_boxes_have_even_areas_and_aspects():
    rng = np.random.default_rng(0)
    boxes = np.array([crops.random_box(rng, 1000, 1000) for _ in range(4000)])
    areas, aspects = boxes[:, 2] * boxes[:, 3] / 1e6, boxes[:, 3] / boxes[:, 2]
    assert (areas > 0.0795).all()
    assert (np.abs(np.log(aspects)) < np.log(4 / 3) + 0.01).all()
    # Up to 3/4 of the area every aspect fits into a square, so that none is drawn again.
    small = areas < 0.75
    assert stats.kstest(areas[small], stats.uniform(0.08, 0.67).cdf).pvalue > 1e-3
    spread = stats.uniform(np.log(3 / 4), 2 * np.log(4 / 3))
    assert stats.kstest(np.log(aspects[small]), spread.cdf).pvalue > 1e-3
    for start, length in ((0, 2), (1, 3)):
        places = boxes[:, start] / (1000 - boxes[:, length] + 1e-9)
        assert stats.kstest(places[small], stats.uniform(0, 1).cdf).pvalue > 1e-3


@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_a_box_lies_in_its_image(height, width, seed):
    top, left, box_height, box_width = crops.random_box(np.random.default_rng(seed), height, width)
    assert 0 <= top < top + box_height <= height
    assert 0 <= left < left + box_width <= width


@pytest.mark.parametrize(
    ("shape", "expected"), [((10, 1000), (0, 493, 10, 13)), ((1000, 10), (493, 0, 13, 10)), ((1, 1), (0, 0, 1, 1))]
)
def test_a_box_of_an_image_that_has_none_is_in_the_middle(shape, expected):
    assert crops.random_box(np.random.default_rng(0), *shape) == expected


def test_none_is_no_crop():
    assert crops.create("none", 0) is None
    assert crops.create("none", 224) is None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"crop": "center"}, "data.crop must be one of none, scale_jitter, random_resized, not 'center'"),
        ({"image_size": 0}, "data.crop=scale_jitter needs .*--config.data.image_size"),
        ({"image_size": -1}, "data.image_size must be between 0 and 4096, not -1"),
        ({"crop": "none", "image_size": -1}, "data.image_size must be between 0 and 4096, not -1"),
        ({"evaluation_scale": 223}, r"data.evaluation_scale must be at least data.image_size \(224\).* not 223"),
        ({"crop_scales": (480, 256)}, r"data.crop_scales .*not \(480, 256\)"),
        ({"crop_scales": (200, 256)}, r"data.crop_scales .*at least data.image_size \(224\), not \(200, 256\)"),
        ({"crop_scales": (256,)}, r"data.crop_scales .*not \(256,\)"),
        ({"evaluation_crops": 5}, "data.evaluation_crops must be 1 or 10, not 5"),
        ({"crop": "none", "evaluation_crops": 10}, "data.evaluation_crops=10 needs a data.crop"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_field(arguments, reason):
    with pytest.raises(UserError, match=reason) as refusal:
        crops.create(**({"crop": "scale_jitter", "image_size": 224} | arguments))
    assert "\n" not in str(refusal.value)


def test_scales_that_are_not_used_are_not_looked_at():
    assert crops.create("random_resized", 299, crop_scales=(256, 480), evaluation_scale=320) is not None


@pytest.mark.parametrize("wrong", [{"image_size": 10**6}, {"evaluation_scale": 10**10}, {"crop_scales": (8, 10**10)}])
def test_sizes_that_no_memory_holds_are_refused(wrong):
    with pytest.raises(UserError, match="4096"):
        crops.create(**{"crop": "scale_jitter", "image_size": 8, "crop_scales": (8, 16), **wrong})
