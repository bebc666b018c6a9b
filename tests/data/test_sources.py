import numpy as np
import pytest
from sklearn.datasets import load_digits

from canon.data import pipeline, preprocess, sources
from canon.data.sources import ArraySource, Subset
from canon.errors import UserError


def test_digits_are_scikit_learns_each_once():
    train, test = sources.load("digits", "train"), sources.load("digits", "test")
    assert (len(train), len(test)) == (1437, 360)
    ours = np.concatenate([train.images, test.images]).reshape(1797, -1)
    theirs = np.round(load_digits().data * 255 / 16).astype(np.uint8)
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    assert train.image_shape == (8, 8, 1)
    assert train[0]["image"].dtype == np.uint8


def test_the_split_of_digits_is_stratified_and_always_the_same():
    test = sources.digits("test")
    assert set(np.bincount(test.labels)) <= {35, 36, 37}
    np.testing.assert_array_equal(test.images, sources.digits("test").images)


def test_a_split_that_digits_lacks_is_refused():
    with pytest.raises(UserError, match="train and test, not 'validation'"):
        sources.load("digits", "validation")


def test_hold_out_parts_the_examples_and_keeps_the_classes(toy_source):
    kept, held = sources.hold_out(toy_source, 20)
    assert (len(kept), len(held)) == (83, 20)
    assert sorted([*kept.indices, *held.indices]) == list(range(103))
    assert set(np.bincount([held[i]["label"] for i in range(20)])) == {5}
    np.testing.assert_array_equal(held.indices, sources.hold_out(toy_source, 20)[1].indices)


@pytest.mark.parametrize("examples", [3, 100, 103, -1])
def test_a_hold_out_that_cannot_hold_every_class_is_refused(toy_source, examples):
    with pytest.raises(UserError, match="validation_examples"):
        sources.hold_out(toy_source, examples)


def test_a_subset_reads_through_to_its_source(toy_source):
    subset = Subset(toy_source, np.array([5, 3, 100]))
    np.testing.assert_array_equal(subset[2]["image"], toy_source.images[100])
    np.testing.assert_array_equal(sources.read(subset).labels, toy_source.labels[[5, 3, 100]])
    assert subset.num_classes == 4


def test_read_takes_every_example_in_order_whatever_the_chunk(toy_source):
    whole = sources.read(Subset(toy_source, np.arange(103)), chunk=10)
    np.testing.assert_array_equal(whole.images, toy_source.images)
    np.testing.assert_array_equal(whole.labels, toy_source.labels)


def test_images_of_different_shapes_are_refused_by_number(toy_source):
    class Ragged(ArraySource):
        def __getitem__(self, index):
            image = self.images[index][: 3 if index == 42 else None]
            return {"image": image, "label": self.labels[index]}

    ragged = Subset(Ragged(toy_source.images, toy_source.labels, 4), np.arange(103))
    streamed = pipeline.create(ragged, 103, "stream")
    for whole in (sources.read, preprocess.statistics, lambda source: streamed.batch(0, 0)):
        with pytest.raises(UserError, match="image 42 has the shape .*--config.data.crop=scale_jitter"):
            whole(ragged)


def test_one_shape_is_what_all_images_have(toy_source):
    assert sources.one_shape(toy_source) == (6, 5, 1)


def test_a_crop_takes_any_size_but_only_the_channels_of_the_set(toy_source):
    class Odd(ArraySource):
        def __getitem__(self, index):
            image = self.images[index][: 1 + index]
            return {"image": np.repeat(image, 4, axis=-1) if index == 3 else image, "label": self.labels[index]}

    def corner(position, image):
        return image[:1, :1] + np.uint8(position)

    odd = Odd(toy_source.images, toy_source.labels, 4)
    images, labels = sources.stack(odd, [2, 0, 1], corner)
    np.testing.assert_array_equal(
        images, toy_source.images[[2, 0, 1], :1, :1] + np.uint8([0, 1, 2])[:, None, None, None]
    )
    np.testing.assert_array_equal(labels, [2, 0, 1])
    with pytest.raises(
        UserError, match=r"image 3 has the shape \(4, 5, 4\), but the images of this set have 1 channel"
    ):
        sources.stack(odd, [2, 3], corner)
