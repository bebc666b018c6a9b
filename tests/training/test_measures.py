import math

import pytest

from canon.training import measures
from canon.training.perplexity import bits_per_character, perplexity


def test_only_splits_that_are_held_out_are_measured():
    assert "bleu" in measures.names("translation", "validation")
    assert measures.names("translation", "train") == ("error", "loss", "perplexity")
    assert measures.names("classification", "test") == ("error", "loss")


@pytest.mark.parametrize(
    ("task", "name", "larger"),
    [
        ("translation", "validation/bleu", True),
        ("translation", "validation/perplexity", False),
        ("captioning", "validation/sequence_error", False),
        ("peptide_binding", "validation/auc", True),
        ("classification", "steps_to_target", False),
    ],
)
def test_which_of_two_values_is_better(task, name, larger):
    assert measures.larger_is_better(task, name) is larger


def test_perplexity_is_a_power_of_e_and_infinite_where_there_is_no_such_number():
    found = perplexity({"test/loss": 705.0, "train/loss": 1e9, "batch/loss": math.inf, "batch/error": 0.5})
    assert found == {
        "test/perplexity": math.exp(705.0), "train/perplexity": math.inf, "batch/perplexity": math.inf,
    }  # fmt: skip
    assert bits_per_character({"test/loss": math.log(2)}) == {"test/bits_per_character": 1.0}
