import json

import numpy as np
from jax import numpy as jnp

from canon.training.metrics import Mean
from canon.training.step import FIRST_NOT_FINITE
from canon.training.window import NotFinite, Window


def step_metrics(value, leaf=-1.0):
    return {
        "loss": Mean(jnp.float32(value * 4), jnp.float32(4)),
        FIRST_NOT_FINITE: Mean.of(jnp.float32(leaf)),
    }


def test_a_window_that_was_packed_and_resumed_closes_to_the_same_bits():
    values = np.random.default_rng(0).normal(size=7).astype(np.float32)
    whole, first = Window(0), Window(0)
    for value in values:
        whole.add(step_metrics(value))
    for value in values[:3]:
        first.add(step_metrics(value))
    resumed = Window(3, json.loads(json.dumps(first.pack())))
    for value in values[3:]:
        resumed.add(step_metrics(value))
    assert whole.close(7, 4)[0]["batch/loss"] == resumed.close(7, 4)[0]["batch/loss"]


def test_the_first_step_at_which_something_is_not_finite_is_named():
    window = Window(10)
    for value in (1.0, 2.0, np.nan, 3.0, np.inf):
        window.add(step_metrics(value))
    assert window.close(15, 4)[1] == NotFinite(13, loss=True, leaf=None)
    for leaf in (-1, 2, 0):
        window.add(step_metrics(1.0, leaf))
    assert window.not_finite(18) == window.close(18, 4)[1] == NotFinite(17, loss=False, leaf=2)


def test_closing_empties_it():
    window = Window(0)
    window.add(step_metrics(100.0))
    assert window.close(1, 4)[1] is None
    window.add(step_metrics(1.0))
    assert window.close(2, 4)[0]["batch/loss"] == 1.0
    assert window.pack() == []
