"""A run that is lost stops at the step at which it was, says of what, and keeps its last good checkpoint."""

import dataclasses

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from tests.training.runs import build

from canon import losses
from canon.training import find_not_finite, loop
from canon.training.checkpoint import Checkpoints
from canon.training.recorder import read_metrics
from canon.training.step import FIRST_NOT_FINITE


def poisoned(built, at, poison):
    """The program with its train step changed: what the step with that number returns goes through `poison`."""

    def train_step(state, batch):
        if isinstance(state.step, jax.core.Tracer):  # to count its operations
            return built.train_step(state, batch)
        now = int(state.step) + 1
        state, metrics = built.train_step(state, batch)
        return poison(state, metrics) if now == at else (state, metrics)

    return dataclasses.replace(built, train_step=train_step)


def lose_gradient(state, metrics):
    """As a gradient that is not finite leaves it: the loss of the step itself is well."""
    params = jax.tree.map(lambda a: a * jnp.nan, state.params)
    return state.replace(params=params), metrics | {FIRST_NOT_FINITE: metrics["loss"].of(jnp.float32(1))}


@pytest.mark.parametrize(("at", "kept"), [(6, [5]), (5, []), (10, [5]), (12, [5, 10])])
def test_what_is_lost_is_not_saved(tiny_config, tmp_path, at, kept):
    # Lines are written every four steps, checkpoints every five.
    result = loop.train(poisoned(build(tiny_config), at, lose_gradient), 0, tmp_path)
    assert (result.status, result.step) == ("diverged", at)
    assert result.not_finite == "gradient of classifier/kernel"
    assert result.metrics["train/error"] == 1.0
    with Checkpoints(tmp_path / loop.CHECKPOINT_FOLDER) as checkpoints:
        assert checkpoints.steps() == kept
        if kept:
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(checkpoints.restore_params()))


def test_an_update_that_is_not_finite_is_noticed_too(tiny_config, tmp_path):
    def lose(state, metrics):
        return state, metrics | {FIRST_NOT_FINITE: metrics["loss"].of(jnp.float32(4))}

    result = loop.train(poisoned(build(tiny_config), 3, lose), 0, tmp_path)
    assert (result.status, result.step, result.not_finite) == ("diverged", 3, "update")


def test_the_step_itself_says_which_leaf_it_was(tiny_config):
    built = build(tiny_config)
    batch = built.pipelines["train"].batch(0, 0)
    state = built.init(0)
    _, metrics = jax.jit(built.step)(state, batch)
    assert float(metrics[FIRST_NOT_FINITE].total) == -1
    params = state.params | {"hidden1": jax.tree.map(lambda a: a * jnp.inf, state.params["hidden1"])}
    _, metrics = jax.jit(built.step)(state.replace(params=params), batch)
    assert not np.isfinite(metrics["loss"].total)
    assert built.leaf(int(metrics[FIRST_NOT_FINITE].total)) == "gradient of classifier/bias"


def test_a_gradient_so_large_that_only_its_norm_overflows_is_finite(tiny_config):
    """It is clipped by its norm, or a small rate makes it small: the run may go on."""
    from canon.training import step

    def first_not_finite(gradient, update_norm):
        return step._first_not_finite(step._squares(gradient), update_norm)

    tree = {"a": jnp.full(3, 1e30, jnp.float32), "b": jnp.zeros(2, jnp.float32)}
    well, inf, nan = jnp.float32(1), jnp.float32(jnp.inf), jnp.float32(jnp.nan)
    assert float(first_not_finite(tree, well)) == -1
    assert float(first_not_finite(tree, inf)) == 0
    assert float(first_not_finite({"a": tree["b"]}, nan)) == 1
    assert float(first_not_finite({"a": tree["b"], "b": jnp.array([0, jnp.nan])}, well)) == 1


def test_squares_of_large_and_small_leaves_are_summed_each_by_itself(random):
    from canon.training import step

    tree = {
        "large": random.normal(size=(512, 512)).astype(np.float32),
        "small": np.float32([3, 4]),
        "none": np.float32(2),
    }
    expected = [np.square(np.float64(tree[name])).sum() for name in sorted(tree)]
    np.testing.assert_allclose(step._squares(jax.tree.map(jnp.asarray, tree)), expected, rtol=1e-5)


def test_no_line_records_which_leaf(tiny_config, tmp_path):
    built = build(tiny_config)
    assert FIRST_NOT_FINITE not in built.recorded()
    loop.train(built, 0, tmp_path)
    assert not [line for line in read_metrics(tmp_path) if f"batch/{FIRST_NOT_FINITE}" in line]


def test_the_operation_is_named(tiny_config, tmp_path, monkeypatch):
    real = losses.softmax_cross_entropy

    def broken(outputs, labels, label_smoothing=0.0):
        """Well until a batch comes whose labels have a mean below a bound."""
        return real(outputs, labels) + 0 * jnp.sqrt(labels.mean(dtype=jnp.float32) - 4.2)

    monkeypatch.setitem(losses.LOSSES, "softmax_cross_entropy", broken)
    built = build(tiny_config)
    result = loop.train(built, 0, tmp_path)
    assert result.status == "diverged"
    assert result.step > 1
    said = find_not_finite.operation(built.config, 0, tmp_path, result.step)
    assert said.startswith("nan first comes from sqrt")


def test_a_step_that_is_well_is_said_to_be(tiny_config, tmp_path):
    built = build(tiny_config)
    loop.train(poisoned(built, 6, lose_gradient), 0, tmp_path)
    assert "all that the step gives is finite" in find_not_finite.operation(built.config, 0, tmp_path, 6)
