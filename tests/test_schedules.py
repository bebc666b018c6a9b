import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import numpy as jnp

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


NO_TORCH = "PyTorch, the oracle, is not installed"


def test_schedules_equal_pytorchs():
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    from torch.optim import lr_scheduler

    def theirs(make):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
        scheduler, rates = make(optimizer), []
        for _ in range(40):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return rates

    def warm(optimizer):
        warmup = lr_scheduler.LinearLR(optimizer, start_factor=1 / 9, total_iters=8)
        return lr_scheduler.SequentialLR(optimizer, [warmup, lr_scheduler.CosineAnnealingLR(optimizer, 32)], [8])

    cases = [
        ({"name": "constant"}, lambda o: lr_scheduler.ConstantLR(o, 1.0)),
        ({"name": "step_decay", "decay_at": (0.25, 0.6)}, lambda o: lr_scheduler.MultiStepLR(o, [10, 24], 0.1)),
        ({"name": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, 40)),
        ({"name": "cosine", "final_share": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, 40, eta_min=0.02)),
        ({"name": "cosine", "warmup_steps": 8}, warm),
    ]
    for kwargs, make in cases:
        schedule = schedules.create(**kwargs, steps=40, learning_rate=0.2)
        np.testing.assert_allclose([schedule(step) for step in range(40)], theirs(make), rtol=1e-5, atol=1e-8)


@given(steps=st.integers(1, 3000), warmup=st.integers(0, 3000))
def test_cosine_is_its_formula_and_never_0_before_the_end(steps, warmup):
    warmup = min(warmup, steps)
    schedule = schedules.create("cosine", steps=steps, warmup_steps=warmup)
    for step in {0, warmup // 2, max(warmup - 1, 0), warmup, (warmup + steps) // 2, steps - 1} - {steps}:
        share = (step - warmup) / max(steps - warmup, 1)
        expected = 0.1 * ((step + 1) / (warmup + 1) if step < warmup else (1 + np.cos(np.pi * share)) / 2)
        np.testing.assert_allclose(schedule(step), expected, rtol=2e-5, atol=2e-8)
        assert schedule(step) > 0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("constant", {"learning_rate": value}) for value in (0.0, -1.0, float("nan"))),
        *(("step_decay", {"learning_rate": value}) for value in (0.0, -1.0, float("nan"))),
        ("step_decay", {"factor": 0.0}),
        *(("step_decay", {"decay_at": value}) for value in ((0.75, 0.5), (0.5, 1.0), (0.5, 1.5), (0.0,))),
        *(("step_decay", {"warmup_steps": value}) for value in (101, -1)),
        ("cosine", {"learning_rate": 0.0}),
        *(("cosine", {"final_share": value}) for value in (-0.1, 1.1, float("nan"))),
        *(("cosine", {"warmup_steps": value}) for value in (101, -1)),
        ("plateau", {"learning_rate": -0.1}),
        *(("plateau", {"factor": value}) for value in (0.0, 1.0)),
        *(("plateau", {"patience": value}) for value in (0, -1)),
        ("plateau", {"threshold": 1.0}),
    ],
)
def test_a_value_outside_its_range_is_refused(name, wrong):
    with pytest.raises(UserError, match=f"schedule {name}: {next(iter(wrong))}"):
        schedules.create(name, steps=100, **wrong)


def test_constant_is_constant():
    assert schedules.create("constant", steps=5, learning_rate=0.3)(4) == 0.3


@pytest.mark.parametrize("name", [name for name in schedules.SCHEDULES if name != "plateau"])
def test_a_rate_is_computed_inside_a_strictly_typed_step(name):
    schedule = schedules.create(name, steps=10)
    compiled = jax.jit(schedule)(jnp.int32(7))
    np.testing.assert_allclose(compiled, schedule(7), rtol=1e-6)
