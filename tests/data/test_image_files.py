import io
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from canon.data import image_files
from canon.errors import UserError


@pytest.fixture
def pixels(random):
    return random.integers(0, 256, (9, 14, 3), dtype=np.uint8)


def write(path, image, **arguments):
    image.save(path, **arguments)
    return path


def test_colours_are_those_of_the_file(tmp_path, pixels):
    image = image_files.read(write(tmp_path / "colour.png", Image.fromarray(pixels)))
    np.testing.assert_array_equal(image, pixels)
    assert image.dtype == np.uint8
    image[0] = 0  # an array of its own


def test_grey_has_three_equal_colours(tmp_path, pixels):
    image = image_files.read(write(tmp_path / "grey.png", Image.fromarray(pixels[..., 0])))
    np.testing.assert_array_equal(image, np.stack([pixels[..., 0]] * 3, axis=-1))


def test_grey_of_16_bits_keeps_its_upper_8(tmp_path, random):
    grey = random.integers(0, 2**16, (9, 14), dtype=np.uint16)
    image = image_files.read(write(tmp_path / "grey.png", Image.fromarray(grey)))
    np.testing.assert_array_equal(image[..., 0], grey >> 8)


def test_opacity_is_dropped(tmp_path, pixels, random):
    opacity = random.integers(0, 256, (9, 14, 1), dtype=np.uint8)
    path = write(tmp_path / "opacity.png", Image.fromarray(np.concatenate([pixels, opacity], axis=-1)))
    np.testing.assert_array_equal(image_files.read(path), pixels)


def test_a_palette_with_opacities_is_read_without_a_word(tmp_path, pixels):
    palette = Image.fromarray(pixels).quantize(16)
    path = write(tmp_path / "palette.png", palette, transparency=bytes(range(0, 160, 10)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(image_files.read(path), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [("gif", "P"), ("gif", "1"), ("gif", "LA"), ("jpg", "CMYK"), ("jpg", "L"), ("tiff", "CMYK"), ("tiff", "LA")],
)
def test_other_formats_and_modes_become_colour(tmp_path, pixels, suffix, mode):
    image = image_files.read(write(tmp_path / f"image.{suffix}", Image.fromarray(pixels).convert(mode)))
    assert (image.shape, image.dtype) == ((9, 14, 3), np.uint8)


# What the eight orientations of EXIF say of the rows and columns that are stored.
ORIENTATIONS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_photograph_stands_upright(tmp_path, pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path / "photograph.png", Image.fromarray(pixels), exif=exif)
    np.testing.assert_array_equal(image_files.read(path), ORIENTATIONS[orientation](pixels))


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def content(kind, random):
    whole = png(Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)))
    return {
        "empty": b"",
        "text": b"dear diary",
        "cut": whole[: len(whole) // 2],
        "header": whole[:30],
        "damaged": whole[:60] + bytes(200) + whole[260:],
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "header", "damaged", "svg"])
def test_a_file_that_is_damaged_or_no_image_is_named_in_one_line(tmp_path, random, kind):
    path = tmp_path / "image.png"
    path.write_bytes(content(kind, random))
    with pytest.raises(UserError, match="image.png cannot be read as an image: .") as refusal:
        image_files.read(path)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "nowhere.jpg", tmp_path / "a" / "b.jpg"):
        with pytest.raises(UserError, match="there is no image .*") as refusal:
            image_files.read(path)
        assert str(path) in str(refusal.value)
    with pytest.raises(UserError, match=f"^{tmp_path} is a folder; name the images in it"):
        image_files.read(tmp_path)


def test_a_name_that_is_too_long_is_the_users_mistake_too(tmp_path):
    with pytest.raises(UserError, match="File name too long"):
        image_files.read(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path, pixels):
    path = write(tmp_path / "secret.png", Image.fromarray(pixels))
    path.chmod(0)
    with pytest.raises(UserError, match="secret.png cannot be read as an image: .*Permission denied"):
        image_files.read(path)


def test_more_pixels_than_are_read_are_refused_before_they_are_decoded(tmp_path, monkeypatch, pixels):
    path = write(tmp_path / "large.png", Image.fromarray(pixels))
    monkeypatch.setattr(image_files, "MOST_PIXELS", 9 * 14)
    assert image_files.read(path).shape == (9, 14, 3)
    monkeypatch.setattr(image_files, "MOST_PIXELS", 9 * 14 - 1)
    monkeypatch.setattr(Image.Image, "load", None)  # decoding would fail
    with pytest.raises(UserError, match="large.png has 14×9 pixels; more than 125 are refused"):
        image_files.read(path)


@pytest.mark.parametrize("side", [12_000, 20_000])  # above and far above the bound at which Pillow warns or refuses
def test_a_small_file_of_very_many_pixels_is_refused_in_one_line(tmp_path, side):
    path = write(tmp_path / "bomb.png", Image.new("1", (side, side)))
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match="bomb.png") as refusal:
        image_files.read(path)
    assert "\n" not in str(refusal.value)
