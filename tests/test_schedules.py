import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon import schedules
from canon.errors import UserError


def test_the_papers_schedule_divides_at_32k_and_48k():
    schedule = schedules.create("step_decay", steps=64_000)
    steps = [0, 31_999, 32_000, 47_999, 48_000, 63_999]
    np.testing.assert_allclose([schedule(s) for s in steps], [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-6)


def test_the_warm_up_comes_first_and_moves_nothing_else():
    schedule = schedules.create("step_decay", steps=64_000, warmup_steps=400)
    steps = [0, 399, 400, 31_999, 32_000]
    np.testing.assert_allclose([schedule(s) for s in steps], [0.01, 0.01, 0.1, 0.1, 0.01], rtol=1e-6)


@given(steps=st.integers(10, 5000), step=st.integers(0, 4999), warmup=st.integers(0, 10))
def test_step_decay_equals_its_definition_also_when_it_is_traced(steps, step, warmup):
    schedule = schedules.create("step_decay", steps=steps, decay_at=(0.3, 0.6, 0.9), factor=0.5, warmup_steps=warmup)
    passed = sum(step >= round(share * steps) for share in (0.3, 0.6, 0.9))
    expected = 0.01 if step < warmup else 0.1 * 0.5**passed
    np.testing.assert_allclose(schedule(step), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(schedule)(step), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"factor": 0.0},
        {"decay_at": (0.75, 0.5)},
        {"decay_at": (0.5, 1.0)},
        {"decay_at": (0.0,)},
        {"warmup_steps": 101},
        {"warmup_steps": -1},
    ],
)
def test_a_value_outside_its_range_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        schedules.create("step_decay", steps=100, **wrong)


def test_constant_is_constant():
    assert schedules.create("constant", steps=5, learning_rate=0.3)(4) == 0.3
