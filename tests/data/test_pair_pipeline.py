"""Batches of pairs: each pair once an epoch, in a bucket of its length, and nothing counted that fills a batch up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.data import pair_pipeline
from canon.data.words import BOS, EOS, PAD
from canon.errors import UserError

# A pair's first token is its own number, by which it is known again.
LENGTHS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=30)


def create(lengths, batch_size=4, width=5, reverse=False):
    sources = [[100 + i, *[7] * (s - 1)] for i, (s, _) in enumerate(lengths)]
    targets = [[100 + i, *[8] * (t - 1)] for i, (_, t) in enumerate(lengths)]
    return pair_pipeline.create(sources, targets, batch_size, width, reverse)


def seen(batches):
    """The numbers of the pairs whose targets count, and the sum of the mask."""
    numbers, counted = [], 0
    for batch in batches:
        real = batch["mask"].sum(axis=1) > 0
        numbers += (batch["targets"][real, 0] - 100).tolist()
        counted += batch["mask"].sum()
    return sorted(numbers), counted


@given(lengths=LENGTHS, batch_size=st.integers(1, 7), width=st.integers(1, 9), epoch=st.integers(0, 3))
def test_an_epoch_has_every_pair_once_and_counts_every_token_once(lengths, batch_size, width, epoch):
    pipeline = create(lengths, min(batch_size, len(lengths)), width)
    n = pipeline.steps_per_epoch
    numbers, counted = seen(pipeline.batches(5, epoch * n, (epoch + 1) * n))
    assert numbers == list(range(len(lengths)))
    assert counted == sum(target + 1 for _, target in lengths)


@given(lengths=LENGTHS, batch_size=st.integers(1, 40))
def test_an_evaluation_has_every_pair_once_and_says_which(lengths, batch_size):
    pipeline = create(lengths, 1)
    assert pipeline.size == len(lengths)
    assert seen(pipeline.evaluation_batches(batch_size))[0] == list(range(len(lengths)))
    for numbers, batch in pipeline.numbered_batches(batch_size):
        assert (batch["targets"][: len(numbers), 0] - 100).tolist() == numbers.tolist()
        assert (batch["mask"][len(numbers) :] == 0).all()
        assert len(batch["mask"]) == batch_size


@given(lengths=LENGTHS, width=st.integers(1, 9))
def test_no_batch_is_longer_than_its_bucket_needs(lengths, width):
    most = max(max(source, target + 1) for source, target in lengths)
    for bucket in create(lengths, 1, width).buckets:
        longest = [max(lengths[i][0], lengths[i][1] + 1) for i in bucket.index]
        bound = bucket.arrays["tokens"].shape[1]
        assert bucket.arrays["source"].shape == bucket.arrays["targets"].shape == (len(longest), bound)
        assert bound == most or bound % width == 0
        assert all(bound - width < length <= bound for length in longest)


def test_a_bucket_of_any_width_is_no_longer_than_the_longest_pair():
    (bucket,) = create([(2, 2), (3, 1)], 1, 10**19).buckets
    assert bucket.arrays["source"].shape == (2, 3)


def test_what_a_batch_holds():
    # The second pair makes the bucket as long as it is.
    pipeline = pair_pipeline.create([[4, 5, 6], [4] * 4], [[7, 8], [7]], 2, 4, reverse_source=False)
    batch = next(pipeline.evaluation_batches(2))
    assert {name: array[0].tolist() for name, array in batch.items()} == {
        "source": [4, 5, 6, PAD],
        "length": 3,
        "tokens": [BOS, 7, 8, PAD],
        "targets": [7, 8, EOS, PAD],
        "mask": [1, 1, 1, 0],
    }
    backwards = pair_pipeline.create([[4, 5, 6], [4] * 4], [[7, 8], [7]], 2, 4, reverse_source=True)
    backwards = next(backwards.evaluation_batches(2))
    assert backwards["source"][0].tolist() == [6, 5, 4, PAD]
    assert all((backwards[name] == batch[name]).all() for name in ("length", "tokens", "targets", "mask"))


def test_a_batch_is_a_function_of_seed_and_step(random):
    lengths = random.integers(1, 20, (40, 2)).tolist()
    pipeline, again = create(lengths), create(lengths)
    for step in (3, 0, 50, 11):
        one, other = pipeline.batch(2, step), again.batch(2, step)
        assert all((one[name] == other[name]).all() for name in one)
    orders = {str([pipeline.batch(seed, s)["targets"][0, 0] for s in range(8)]) for seed in range(5)}
    assert len(orders) > 1
    epochs = [[pipeline.batch(0, s + e * pipeline.steps_per_epoch)["targets"][0, 0] for s in range(8)] for e in (0, 1)]
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(("sizes", "says"), [((0, 5), "not 5 and 0"), ((4, 0), "not 0 and 4")])
def test_sizes_below_one_are_refused(sizes, says):
    with pytest.raises(UserError, match=says):
        create([(1, 1)] * 4, *sizes)


def test_a_batch_of_more_pairs_than_there_are_is_refused():
    with pytest.raises(UserError, match="train.batch_size must be at most the 2 pairs that there are, not 3"):
        create([(1, 1), (2, 2)], 3)


def test_sizes_of_buckets_are_plain_numbers_to_jax(random):
    batch = create(random.integers(1, 9, (10, 2)).tolist(), 4).batch(0, 0)
    assert {name: array.dtype for name, array in batch.items()} == {
        "source": np.int32, "length": np.int32, "tokens": np.int32, "targets": np.int32, "mask": np.float32,
    }  # fmt: skip
