import json

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from ml_collections import ConfigDict

from canon import sweep
from canon.errors import UserError
from canon.study import plan

RATES = {"schedule.learning_rate": (0.1, 0.003), "optimizer.weight_decay": (0.0, 1e-4)}


def test_a_grid_is_every_combination_by_a_name_that_says_what_it_sets():
    found = sweep.grid(RATES)
    assert list(found) == [
        "learning_rate=1e-1+weight_decay=0",
        "learning_rate=1e-1+weight_decay=1e-4",
        "learning_rate=3e-3+weight_decay=0",
        "learning_rate=3e-3+weight_decay=1e-4",
    ]
    assert found["learning_rate=3e-3+weight_decay=0"] == {
        "schedule": {"learning_rate": 0.003},
        "optimizer": {"weight_decay": 0.0},
    }


@given(
    st.lists(
        st.one_of(
            st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: x != 0),
            st.integers(-100, 100),
            st.booleans(),
            st.text("ab._/ é", max_size=5),
            st.tuples(st.integers(0, 9), st.integers(0, 9)),
        ),
        min_size=1,
        max_size=4,
        unique_by=repr,
    )
)
def test_every_name_can_be_a_key_and_a_folder_or_is_refused_for_being_another_ones(values):
    try:
        found = sweep.grid({"model.x": values})
    except UserError:
        reject()  # two of them are written alike
    assert [changes["model"]["x"] for changes in found.values()] == values
    config = ConfigDict(found)
    assert json.loads(config.to_json()) is not None
    for name in found:
        assert plan.ARM_NAME.fullmatch(name)


def test_a_grid_makes_arms_like_any_others(tiny_config):
    with tiny_config.unlocked():
        tiny_config.arms = ConfigDict(sweep.grid({"model.hidden": ((), (8,), (8, 4)), "train.steps": (5,)}))
    configs = plan.arm_configs(tiny_config)
    hidden = {name: arm.model.hidden for name, arm in configs.items()}
    assert hidden == {"hidden=none+steps=5": (), "hidden=8+steps=5": (8,), "hidden=8-4+steps=5": (8, 4)}


def test_a_random_search_is_even_on_a_logarithmic_scale_and_the_same_every_time():
    fields = {"schedule.learning_rate": (1e-4, 1.0)}
    found = sweep.random_search(fields, 400)
    assert found == sweep.random_search(fields, 400)
    assert found != sweep.random_search(fields, 400, seed=1)
    rates = np.log10([changes["schedule"]["learning_rate"] for changes in found.values()])
    counts, _ = np.histogram(rates, bins=4, range=(-4, 0))
    assert counts.sum() == 400
    assert (np.abs(counts - 100) < 5 * np.sqrt(75)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sweep.grid({}), "a grid needs fields"),
        (lambda: sweep.grid({"train.steps": ()}), "for each of them values"),
        (lambda: sweep.grid({"train.steps": (5, 5)}), "two candidates would be called steps=5"),
        (lambda: sweep.random_search({}, 3), "needs fields"),
        (lambda: sweep.random_search({"a": (0.1, 1)}, 0), "at least one candidate, not 0"),
        (lambda: sweep.random_search({"a": (0.0, 1.0)}, 3), "0 < least ≤ greatest for a, not 0.0 and 1.0"),
        (lambda: sweep.random_search({"a": (2.0, 1.0)}, 3), "0 < least ≤ greatest"),
        (lambda: sweep.random_search({"a": (1.0, 1.0)}, 2), "too narrow for 2 candidates"),
        (lambda: sweep.random_search({"a": (0.1, 0.1001)}, 2), "too narrow for 2 candidates"),
    ],
)
def test_what_gives_no_candidates_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
