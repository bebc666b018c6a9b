import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.data import text_pipeline
from canon.errors import UserError

sizes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(0, 60))


def make(rows, chunk, more):
    tokens = np.arange(rows * chunk + 1 + more, dtype=np.int32)  # a token is its own place
    return text_pipeline.create(tokens, rows, chunk, "train")


@given(sizes, st.integers(0, 5))
def test_each_row_goes_on_where_it_ended_until_the_epoch_does(size, seed):
    pipeline = make(*size)
    before = None
    for batch in pipeline.batches(seed, 0, 2 * pipeline.steps_per_epoch + 1):
        assert batch["tokens"].shape == batch["targets"].shape == (pipeline.batch_size, pipeline.chunk)
        np.testing.assert_array_equal(batch["targets"], batch["tokens"] + 1)
        if before is None:
            assert batch["begins"].all()
        elif not batch["begins"].any():
            np.testing.assert_array_equal(batch["tokens"][:, 0], before["targets"][:, -1])
        before = batch


@given(sizes, st.integers(0, 5))
def test_an_epoch_sees_no_token_twice_and_leaves_out_less_than_a_batch(size, seed):
    pipeline = make(*size)
    seen = np.concatenate([b["targets"].ravel() for b in pipeline.batches(seed, 0, pipeline.steps_per_epoch)])
    assert len(set(seen)) == len(seen) > pipeline.size - pipeline.batch_size * pipeline.chunk
    again = pipeline.batch(seed, pipeline.steps_per_epoch)
    assert again["begins"].all()


def test_a_batch_is_a_function_of_seed_and_step():
    pipeline = make(3, 4, 50)
    for step in (0, 7, 100):
        np.testing.assert_equal(pipeline.batch(1, step), pipeline.batch(1, step))
    firsts = {int(pipeline.batch(seed, 0)["tokens"][0, 0]) for seed in range(20)}
    assert len(firsts) > 1


@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 60))
def test_an_evaluation_predicts_every_token_but_the_first_exactly_once(rows, chunk, size):
    pipeline = text_pipeline.create(np.arange(1 + size, dtype=np.int32), None, chunk, "test")
    seen, ends = [], None
    for batch in pipeline.evaluation_batches(rows):
        assert batch["begins"].all() == (ends is None)
        inside = batch["mask"] > 0
        seen += batch["targets"][inside].tolist()
        if ends is not None:
            goes_on = inside[:, 0]
            np.testing.assert_array_equal(batch["tokens"][goes_on, 0], ends[goes_on])
        ends = batch["targets"][:, -1]
    assert sorted(seen) == list(range(1, pipeline.size + 1))


@pytest.mark.parametrize(
    ("rows", "chunk", "message"),
    [
        (5, 20, "the train text has 100 characters; 5 rows of 20 need 101"),
        (5, 0, "data.chunk must be at least 1"),
        (None, 5, "the test text has 1 characters: there is none to predict"),
        (0, 5, "train.batch_size must be at least 1"),
    ],
)
def test_a_text_that_is_too_short_is_said(rows, chunk, message):
    with pytest.raises(UserError, match=message):
        text_pipeline.create(np.zeros(1 if rows is None else 100, np.int32), rows, chunk, "train" if rows else "test")
