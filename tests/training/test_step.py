import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

from canon import models, optimizers
from canon.data import pipeline, preprocess
from canon.data.augmentation import Augmentation
from canon.training.gradient import of_task
from canon.training.state import initial_state
from canon.training.step import make_evaluation_step, make_train_step
from canon.training.task import Classification


@pytest.fixture
def parts(toy_source):
    task = Classification(models.create("mlp", hidden=(16,), dropout_rate=0.3, num_classes=4))
    schedule = optax.linear_schedule(0.1, 0.0, 10)
    optimizer = optimizers.create("momentum", learning_rate=schedule, weight_decay=0.01)
    prepare = preprocess.create(toy_source, "none", Augmentation(pad_crop=1, flip=True))
    batches = pipeline.create(toy_source, 16)
    step = jax.jit(make_train_step(of_task(task), optimizer, schedule, prepare))
    evaluate = jax.jit(make_evaluation_step(task, prepare))

    def begin(seed):
        return initial_state(task, optimizer, prepare(batches.batch(0, 0), None), jnp.uint32(seed))

    return step, evaluate, begin, batches


def run(step, state, batches, seed, steps):
    for i in range(int(state.step), int(state.step) + steps):
        state, metrics = step(state, batches.batch(seed, i))
    return state, metrics


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(parts):
    step, _, begin, batches = parts
    one, other = (run(step, begin(0), batches, 0, 5)[0] for _ in range(2))
    assert_same(one, other)
    different = run(step, begin(1), batches, 1, 5)[0]
    assert (one.params["hidden1"]["kernel"] != different.params["hidden1"]["kernel"]).any()


def test_seeds_share_one_compiled_program(parts):
    step, _, begin, batches = parts
    for seed in range(3):
        run(step, begin(seed), batches, seed, 2)
    assert step._cache_size() == 1


def test_random_numbers_follow_the_step_and_not_the_number_of_calls(parts):
    step, _, begin, batches = parts
    batch = batches.batch(0, 0)
    state = begin(0)
    losses = [float(step(state.replace(step=jnp.int32(i)), batch)[1]["loss"].total) for i in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]


def test_the_step_descends_the_tasks_gradient_as_written_out(toy_source):
    task = Classification(models.create("mlp", hidden=(5,), num_classes=4))
    prepare = preprocess.create(toy_source, "none")
    batch = pipeline.create(toy_source, 16).batch(0, 0)
    optimizer = optimizers.create("momentum", learning_rate=0.1)
    state = initial_state(task, optimizer, prepare(batch, None), jnp.uint32(0))
    after, metrics = make_train_step(of_task(task), optimizer, optax.constant_schedule(0.1), prepare)(state, batch)

    gradient = jax.grad(lambda p: task.loss(p, {}, prepare(batch, None), None, False)[0])(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), after.params, expected)

    def norm(tree):
        return np.sqrt(sum((np.asarray(leaf, np.float64) ** 2).sum() for leaf in jax.tree.leaves(tree)))

    np.testing.assert_allclose(metrics["gradient_norm"].compute(), norm(gradient), rtol=1e-5)
    np.testing.assert_allclose(metrics["update_norm"].compute(), 0.1 * norm(gradient), rtol=1e-5)
    np.testing.assert_allclose(metrics["parameter_norm"].compute(), norm(state.params), rtol=1e-5)
    assert after.step == 1


def test_the_logged_learning_rate_is_the_schedules(parts):
    step, _, begin, batches = parts
    _, metrics = run(step, begin(0), batches, 0, 4)
    np.testing.assert_allclose(metrics["learning_rate"].compute(), 0.07, rtol=1e-6)


def test_augmentation_and_model_draw_from_keys_of_their_own(parts, toy_source):
    step, _, begin, batches = parts
    state, batch = begin(0), batches.batch(0, 0)
    augment_key, model_key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))
    task = Classification(models.create("mlp", hidden=(16,), dropout_rate=0.3, num_classes=4))
    seen = preprocess.create(toy_source, "none", Augmentation(pad_crop=1, flip=True))(batch, augment_key)
    expected, _ = task.loss(state.params, {}, seen, model_key, train=True)
    np.testing.assert_allclose(step(state, batch)[1]["loss"].compute(), expected, rtol=1e-5)


def test_evaluation_neither_augments_nor_drops(parts):
    _, evaluate, begin, batches = parts
    batch = batches.batch(0, 0)
    assert_same(evaluate(begin(0), batch), evaluate(begin(0).replace(step=jnp.int32(7)), batch))
