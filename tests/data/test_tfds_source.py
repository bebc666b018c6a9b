"""TFDS sets, read without TensorFlow: the official ones where they are prepared, and a toy one prepared here."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from canon.data import pipeline, sources, tfds_source
from canon.errors import UserError

REAL = os.environ.get("TFDS_DATA_DIR", "")


def needs_real(name):
    return pytest.mark.skipif(not (REAL and Path(REAL, name).is_dir()), reason=f"no {name} in TFDS_DATA_DIR")


class CanonToy(tfds.core.GeneratorBasedBuilder):
    """Twelve images in three classes. It is registered under the name canon_toy by being defined."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(4, 5, 3), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=3),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(9), "test": self._generate_examples(3)}

    def _generate_examples(self, count):
        import io

        from PIL import Image

        for i in range(count):
            file = io.BytesIO()  # encoded here: TFDS would want TensorFlow to do it
            Image.fromarray(np.full((4, 5, 3), i, np.uint8)).save(file, "PNG")
            file.seek(0)
            yield i, {"image": file, "label": i % 3}


@pytest.fixture
def toy(tmp_path):
    tfds_source.prepare("canon_toy", str(tmp_path))
    return str(tmp_path)


def test_a_set_that_prepare_made_is_read_back(toy):
    train, test = (sources.load("canon_toy", split, toy) for split in ("train", "test"))
    assert (len(train), len(test), train.num_classes, train.image_shape) == (9, 3, 3, (4, 5, 3))
    whole = sources.read(train)
    # TFDS shuffles as it prepares: image and label must have stayed together.
    assert sorted(whole.images[:, 0, 0, 0]) == list(range(9))
    np.testing.assert_array_equal(whole.labels, whole.images[:, 0, 0, 0] % 3)
    np.testing.assert_array_equal(train.labels, whole.labels)


def test_prepare_does_nothing_the_second_time(toy):
    before = {path: path.stat().st_mtime_ns for path in Path(toy).rglob("*") if path.is_file()}
    tfds_source.prepare("canon_toy", toy)
    assert {path: path.stat().st_mtime_ns for path in Path(toy).rglob("*") if path.is_file()} == before


def test_preparing_an_official_set_without_tensorflow_is_refused_before_the_download(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "tensorflow" else find_spec(name, *a)
    )
    with pytest.raises(UserError, match=r"preparing mnist needs tensorflow.*pip install -e '\.\[prepare\]'"):
        tfds_source.prepare("mnist", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_set_that_is_not_prepared_says_how_and_downloads_nothing(tmp_path):
    with pytest.raises(
        UserError, match=r"not prepared .*`launch\.py prepare cifar100 --data_dir=\S+`, or .*TFDS_DATA_DIR"
    ):
        sources.load("cifar100", "train", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_an_unknown_set_suggests_the_nearest():
    with pytest.raises(UserError, match="no data set is called 'cifra10'; did you mean cifar10"):
        sources.load("cifra10", "train")


def test_an_unknown_split_says_which_there_are(toy):
    with pytest.raises(UserError, match="has the splits .*train.*, not 'trian'"):
        sources.load("canon_toy", "trian", toy)


def test_a_set_that_is_stored_as_tfrecord_is_refused_with_the_way_out(toy):
    for info in Path(toy).rglob("dataset_info.json"):
        info.write_text(info.read_text().replace("array_record", "tfrecord"))
    tfds_source.load.cache_clear()
    with pytest.raises(UserError, match="stored as tfrecord.*launch.py prepare canon_toy"):
        sources.load("canon_toy", "train", toy)
    with pytest.raises(UserError, match="holds canon_toy as tfrecord already; give another folder"):
        tfds_source.prepare("canon_toy", toy)


def test_a_version_that_does_not_exist_is_refused(toy):
    with pytest.raises(UserError, match="data set canon_toy:9.9.9 cannot be opened"):
        sources.load("canon_toy:9.9.9", "train", toy)


def test_a_set_of_photographs_has_no_height_and_width(photographs):
    train = sources.load("canon_photographs", "train", photographs)
    assert (len(train), train.image_shape) == (16, (None, None, 3))
    assert train[0].keys() == {"image", "label"}
    shapes = {train[i]["image"].shape for i in range(16)}
    assert {(9, 14, 3), (12, 72, 3)} < shapes
    grey = [image for image in (train[i]["image"] for i in range(16)) if (image == image[..., :1]).all()]
    assert len(grey) == 1  # a grey file in a set of colours has three equal channels


def test_photographs_without_a_crop_are_refused_with_the_way_out(photographs):
    train = sources.load("canon_photographs", "train", photographs)
    for placement in ("auto", "device", "stream"):
        with pytest.raises(UserError, match="--config.data.crop=scale_jitter --config.data.image_size=224"):
            pipeline.create(train, 4, placement).batch(0, 0)


class CanonUndeclared(CanonToy):
    """Images of one shape, in a set that does not say so; its test split has no labels."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=3)}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, count):
        for key, example in super()._generate_examples(count):
            yield key, example | ({"label": -1} if count == 3 else {})


def test_images_that_all_have_one_shape_need_no_declaration(tmp_path):
    tfds_source.prepare("canon_undeclared", str(tmp_path))
    train = sources.load("canon_undeclared", "train", str(tmp_path))
    assert train.image_shape == (4, 5, 3)
    assert sources.read(train).images.shape == (9, 4, 5, 3)
    with pytest.raises(UserError, match="the split test of canon_undeclared has no labels; it has the splits"):
        sources.load("canon_undeclared", "test", str(tmp_path))


class CanonDamaged(CanonToy):
    """One image in nine is cut short."""

    VERSION = tfds.core.Version("1.0.0")

    def _generate_examples(self, count):
        for key, example in super()._generate_examples(count):
            if key == 4:
                example["image"].truncate(50)
            yield key, example


def test_a_damaged_image_is_named_by_its_place_in_the_set(tmp_path):
    tfds_source.prepare("canon_damaged", str(tmp_path))
    train = sources.load("canon_damaged", "train", str(tmp_path))
    readable = []
    for index in range(9):
        try:
            readable.append(train[index])
        except UserError:
            damaged = index
    assert len(readable) == 8
    with pytest.raises(UserError, match=rf"^example {damaged} of canon_damaged/1.0.0, split train, in \S+ is damaged"):
        sources.read(train)


@needs_real("cifar10")
def test_cifar10_is_whole_and_in_official_label_order():
    test = sources.read(sources.load("cifar10", "test", REAL))
    assert test.images.shape == (10_000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(test.labels), [1000] * 10)
    # Known of the official set, in any order: its mean over test pixels and channels, to three places.
    np.testing.assert_allclose(test.images.mean() / 255, 0.477, atol=1e-3)


@needs_real("mnist")
def test_mnist_has_its_official_class_counts():
    test = sources.read(sources.load("mnist", "test", REAL))
    # LeCun's set: 980 zeros, 1,135 ones, ...
    np.testing.assert_array_equal(np.bincount(test.labels), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])


@needs_real("tiny_shakespeare")
def test_a_set_without_images_is_refused():
    with pytest.raises(UserError, match="tiny_shakespeare is not one of labelled images: it has text"):
        sources.load("tiny_shakespeare", "train", REAL)


@needs_real("mnist")
def test_nothing_of_this_imports_tensorflow():
    sources.load("mnist", "test", REAL)[0]
    assert "tensorflow" not in sys.modules
