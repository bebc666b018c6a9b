import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.data import generated
from canon.errors import UserError


def symbols_of(batch):
    assert (batch["sequence"].sum(axis=-1) == 1).all()
    return batch["sequence"].argmax(axis=-1), batch["label"]


@given(length=st.integers(10, 60), seed=st.integers(0, 5), step=st.integers(0, 100))
def test_temporal_order_is_labelled_by_its_two_letters(length, seed, step):
    symbols, labels = symbols_of(generated.create("temporal_order", length, 7, 5, "train").batch(seed, step))
    for row, label in zip(symbols, labels, strict=True):
        places = np.flatnonzero(row < 2)
        assert len(places) == 2
        assert int(0.1 * length) <= places[0] < max(int(0.2 * length), int(0.1 * length) + 1)
        assert int(0.4 * length) <= places[1] < max(int(0.5 * length), int(0.4 * length) + 1)
        assert label == 2 * row[places[0]] + row[places[1]]


@given(length=st.integers(1, 60))
def test_delayed_recall_is_labelled_by_its_first_symbol(length):
    symbols, labels = symbols_of(generated.create("delayed_recall", length, 7, 5, "train").batch(0, 0))
    np.testing.assert_array_equal(symbols[:, 0], labels)
    assert (symbols[:, 1:] >= 4).all()


@pytest.mark.parametrize("name", generated.TASKS)
def test_every_class_comes_as_often(name):
    labels = generated.create(name, 20, 4000, 5, "train").batch(0, 0)["label"]
    counts = np.bincount(labels, minlength=generated.TASKS[name].num_classes)
    np.testing.assert_allclose(counts, 1000, atol=150)


def test_training_sees_a_new_batch_at_each_step_and_an_evaluation_the_same_ones():
    pipeline = generated.create("delayed_recall", 30, 8, 21, "test")
    np.testing.assert_equal(pipeline.batch(0, 3), pipeline.batch(0, 3))
    for other in ((0, 4), (1, 3)):
        assert (pipeline.batch(0, 3)["sequence"] != pipeline.batch(*other)["sequence"]).any()
    by_size = []
    for batch_size in (4, 21):
        batches = list(pipeline.evaluation_batches(batch_size))
        kept = [batch["sequence"][batch["mask"] > 0] for batch in batches]
        by_size.append(np.concatenate(kept))
    assert len(by_size[0]) == pipeline.size == 21
    np.testing.assert_array_equal(*by_size)
    train = next(generated.create("delayed_recall", 30, 8, 21, "train").evaluation_batches(21))
    assert (train["sequence"] != by_size[0]).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("temporal_ordre", 20, 4, 4, "train"), "there are: delayed_recall, temporal_order"),
        (("temporal_order", 9, 4, 4, "train"), "data.length must be at least 10 for temporal_order, not 9"),
        (("delayed_recall", 20, 0, 4, "train"), "must be at least 1, not 0 and 4"),
        (("delayed_recall", 20, 4, 4, "tset"), "the splits train, validation, test, not 'tset'"),
    ],
)
def test_what_cannot_be_made_is_said(arguments, message):
    with pytest.raises(UserError, match=message):
        generated.create(*arguments)


def test_a_symbol_is_tagged_by_the_markers_around_it():
    symbols, labels = generated.between_markers(np.random.default_rng(1), 50, 17)
    for row, tags in zip(symbols.tolist(), labels.tolist(), strict=True):
        for place, tag in enumerate(tags):
            last = next(s for s in row[place::-1] if s < 2)
            following = next(s for s in row[place:] if s < 2)
            assert tag == 2 * last + following


def test_an_evaluation_of_tags_counts_every_symbol_once():
    pipeline = generated.create("between_markers", 6, 4, 10, "test", generated.TAGS)
    batches = list(pipeline.evaluation_batches(4))
    assert [batch["mask"].sum() for batch in batches] == [24, 24, 12]
    assert all(batch["mask"].shape == batch["label"].shape == (4, 6) for batch in batches)
