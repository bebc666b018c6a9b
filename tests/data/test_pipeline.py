import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canon.data import crops, pipeline
from canon.data.pipeline import example_indices, examples
from canon.data.sources import ArraySource, Subset
from canon.errors import UserError


@given(size=st.integers(1, 40), share=st.floats(0.01, 1), seed=st.integers(0, 5), epochs=st.integers(1, 4))
@settings(max_examples=60)
def test_every_epoch_holds_every_example_once(size, share, seed, epochs):
    batch_size = max(1, int(size * share))
    steps = -(-size * epochs // batch_size)
    stream = np.concatenate([example_indices(size, batch_size, seed, step) for step in range(steps)])
    for epoch in range(epochs):
        assert sorted(stream[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_batches_depend_on_seed_and_step_alone():
    first = example_indices(100, 16, seed=3, step=50)
    example_indices(100, 16, seed=4, step=2)
    np.testing.assert_array_equal(first, example_indices(100, 16, seed=3, step=50))
    assert (first != example_indices(100, 16, seed=4, step=50)).any()
    assert (first != example_indices(100, 16, seed=3, step=51)).any()


def test_epochs_come_in_different_orders():
    assert (example_indices(50, 50, 0, 0) != example_indices(50, 50, 0, 1)).any()


@pytest.fixture(params=["device", "stream"])
def both(request, toy_source):
    return pipeline.create(toy_source, 16, request.param)


def test_the_placement_changes_nothing_in_a_batch(toy_source):
    resident, streamed = (pipeline.create(toy_source, 16, placement) for placement in ("device", "stream"))
    for step in (0, 6, 7, 40):  # 6 straddles two epochs of 103
        one, other = examples(resident.batch(1, step)), examples(streamed.batch(1, step))
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
            assert one[name].dtype == other[name].dtype


def test_batches_go_on_from_any_step(both):
    later = [examples(batch) for batch in both.batches(seed=2, first=5, last=9)]
    assert len(later) == 4
    for step, batch in enumerate(later, start=5):
        for name, values in examples(both.batch(2, step)).items():
            np.testing.assert_array_equal(batch[name], values)


@pytest.mark.parametrize("batch_size", [1, 10, 103, 200])
def test_evaluation_sees_every_example_once_and_in_order(both, toy_source, batch_size):
    seen = [examples(batch) for batch in both.evaluation_batches(batch_size)]
    assert {len(batch["label"]) for batch in seen} == {batch_size}
    images = np.concatenate([batch["image"][np.asarray(batch["mask"]) > 0] for batch in seen])
    np.testing.assert_array_equal(images, toy_source.images)


def test_resident_images_stay_uint8_on_the_device(toy_source):
    resident = pipeline.create(toy_source, 16, "device")
    assert resident.arrays["image"].dtype == np.uint8
    assert isinstance(resident.arrays["image"], jax.Array)
    assert resident.batch(0, 0).arrays is resident.arrays


def test_what_fits_stays_on_the_device_and_what_does_not_is_streamed(toy_source, monkeypatch):
    assert isinstance(pipeline.create(toy_source, 16, "auto"), pipeline.ResidentPipeline)
    monkeypatch.setattr(pipeline.os, "sysconf", lambda name: 60)  # 3,600 bytes of memory
    assert isinstance(pipeline.create(toy_source, 16, "auto"), pipeline.StreamedPipeline)


@pytest.mark.parametrize("batch_size", [0, -5, 104])
def test_a_batch_larger_than_the_data_is_refused(toy_source, batch_size):
    with pytest.raises(UserError, match=f"between 1 and the 103 training examples, not {batch_size}"):
        pipeline.create(toy_source, batch_size)


def test_an_unknown_placement_is_refused(toy_source):
    with pytest.raises(UserError, match="auto, device or stream"):
        pipeline.create(toy_source, 16, "gpu")


class Ragged(ArraySource):
    """Each image without some of its last rows and columns."""

    image_shape = (None, None, 1)

    def __getitem__(self, index):
        image = self.images[index][: 6 - index % 3, : 5 - index % 2]
        return {"image": image, "label": self.labels[index]}


@pytest.fixture(params=["scale_jitter", "random_resized"])
def cropped(request, toy_source):
    cut = crops.create(request.param, 4, (5, 8), evaluation_crops=10, evaluation_scale=6)
    return pipeline.create(Ragged(toy_source.images, toy_source.labels, 4), 16, crops=cut)


def test_cropped_batches_are_a_function_of_seed_and_step(cropped):
    first = cropped.batch(3, 7)
    cropped.batch(4, 2)
    np.testing.assert_array_equal(first["image"], cropped.batch(3, 7)["image"])
    assert first["image"].shape == (16, 4, 4, 1)
    np.testing.assert_array_equal(first["label"], cropped.source.labels[example_indices(103, 16, 3, 7)])


def test_cropped_batches_go_on_from_any_step_in_order(cropped):
    later = list(cropped.batches(seed=2, first=5, last=12))
    assert len(later) == 7
    for step, batch in enumerate(later, start=5):
        for name, values in cropped.batch(2, step).items():
            np.testing.assert_array_equal(batch[name], values)


@pytest.mark.parametrize("crop", ["scale_jitter", "random_resized"])
def test_a_crop_follows_seed_step_and_position_alone(crop, random):
    images = random.integers(0, 256, (1, 40, 50, 3), dtype=np.uint8).repeat(32, axis=0)
    source = ArraySource(images, np.zeros(32, np.int32), 1)
    cut = crops.create(crop, 8, (10, 40), evaluation_scale=8)
    wide, narrow = (pipeline.create(source, batch_size, "stream", crops=cut) for batch_size in (12, 5))
    seen = wide.batch(1, 3)["image"]
    assert len(np.unique(seen, axis=0)) == 12  # positions differ
    np.testing.assert_array_equal(seen[:5], narrow.batch(1, 3)["image"])
    for other in (wide.batch(1, 4), wide.batch(2, 3)):
        assert (other["image"] != seen).any(axis=(1, 2, 3)).all()


def test_an_epochs_order_and_its_crops_draw_from_different_generators():
    order = np.random.default_rng([5, 2]).integers(2**32, size=4)
    np.testing.assert_array_equal(order, np.random.default_rng([5, 2, 0]).integers(2**32, size=4))  # NumPy's padding
    assert (order != pipeline._crop_generator(5, 2, 0).integers(2**32, size=4)).all()


@pytest.mark.parametrize("batch_size", [10, 103, 200])
def test_an_evaluation_sees_every_examples_crops_once_and_in_order(cropped, batch_size):
    seen = list(cropped.evaluation_batches(batch_size))
    assert {batch["image"].shape for batch in seen} == {(batch_size, 10, 4, 4, 1)}
    kept = np.concatenate([batch["image"][batch["mask"] > 0] for batch in seen])
    expected = [crops.ten_crops(crops.resize_shorter_side(cropped.source[i]["image"], 6), 4) for i in range(103)]
    np.testing.assert_array_equal(kept, expected)
    labels = np.concatenate([batch["label"][batch["mask"] > 0] for batch in seen])
    np.testing.assert_array_equal(labels, cropped.source.labels)


def test_what_is_cropped_never_stays_on_the_device(toy_source):
    cut = crops.create("random_resized", 4, evaluation_scale=4)
    assert isinstance(pipeline.create(toy_source, 16, "auto", crops=cut), pipeline.StreamedPipeline)
    with pytest.raises(UserError, match="data.placement=device does not go with data.crop"):
        pipeline.create(toy_source, 16, "device", crops=cut)
    with pytest.raises(UserError, match="auto, device or stream"):
        pipeline.create(toy_source, 16, "gpu", crops=cut)


@pytest.mark.parametrize("placement", ["auto", "device", "stream"])
def test_images_of_different_sizes_are_refused_with_the_way_out(toy_source, placement):
    ragged = Ragged(toy_source.images, toy_source.labels, 4)
    ragged = Subset(ragged, np.arange(103))  # an ArraySource is taken to be in memory
    with pytest.raises(
        UserError, match="different sizes.*--config.data.crop=scale_jitter --config.data.image_size=224"
    ):
        pipeline.create(ragged, 16, placement).batch(0, 0)
