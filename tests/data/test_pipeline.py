import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canon.data import pipeline
from canon.data.pipeline import example_indices, examples
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
