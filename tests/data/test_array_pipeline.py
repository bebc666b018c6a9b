import numpy as np
import pytest

from canon.data.array_pipeline import ArrayPipeline
from canon.errors import UserError


def pipeline(size=10, batch_size=4):
    return ArrayPipeline({"x": np.arange(size), "y": -np.arange(size)}, batch_size)


def test_rows_of_all_arrays_stay_together_and_an_epoch_has_each_once():
    batches = list(pipeline().batches(3, 0, 5))
    assert sorted(np.concatenate([batch["x"] for batch in batches])) == sorted([*range(10)] * 2)
    assert all((batch["x"] == -batch["y"]).all() for batch in batches)
    assert (pipeline().batch(3, 4)["x"] == batches[4]["x"]).all()


def test_an_evaluation_has_each_row_once():
    batches = list(pipeline().evaluation_batches(4))
    assert np.concatenate([batch["x"][batch["mask"] > 0] for batch in batches]).tolist() == list(range(10))
    assert all(len(batch["x"]) == 4 for batch in batches)


@pytest.mark.parametrize(("size", "batch_size"), [(10, 0), (10, 11), (0, 1)])
def test_a_batch_that_cannot_be_is_refused(size, batch_size):
    with pytest.raises(UserError, match=f"from 1 to the {size} examples of the split, not {batch_size}"):
        pipeline(size, batch_size)
