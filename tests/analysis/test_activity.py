"""Shares of flat and dead units and the norms of gradients, against what NumPy counts."""

import jax
import numpy as np
import pytest
from flax import linen as nn
from jax import numpy as jnp
from scipy.special import expit

from canon import losses, models, optimizers, schedules
from canon.analysis import activity
from canon.layers.activations import ACTIVATIONS, Activation
from canon.training.gradient import of_task
from canon.training.state import initial_state
from canon.training.step import make_train_step
from canon.training.task import Classification

SLOPES = {
    "relu": (lambda x: (x > 0).astype(float), 1),
    "relu_by_hand": (lambda x: (x > 0).astype(float), 1),
    "sigmoid": (lambda x: expit(x) * (1 - expit(x)), 0.25),
    "tanh": (lambda x: 1 - np.tanh(x) ** 2, 1),
    "scaled_tanh": (lambda x: 1.7159 * 2 / 3 * (1 - np.tanh(2 / 3 * x) ** 2), 1.7159 * 2 / 3),
}


@pytest.mark.parametrize("name", SLOPES)
def test_a_unit_is_flat_below_a_twentieth_of_the_steepest_slope(name, random):
    x = random.uniform(-6, 6, 1000)
    slope, steepest = SLOPES[name]
    clear = np.abs(slope(x) / steepest - activity.FLAT) > 1e-3
    found = activity.is_flat(ACTIVATIONS[name], jnp.asarray(x, jnp.float32))
    np.testing.assert_array_equal(np.asarray(found)[clear], (slope(x) < activity.FLAT * steepest)[clear])


class Network(nn.Module):
    """Two nonlinearities, the second below a convolution."""

    @nn.compact
    def __call__(self, x, train=False):
        x = Activation(jnp.tanh, name="tanh")(x)
        x = nn.Conv(4, (3, 3), name="conv")(x)
        x = Activation(name="relu")(x)
        return nn.Dense(3, name="dense")(x.reshape(len(x), -1))


def test_shares_are_those_of_each_layer_and_dead_units_are_flat_everywhere_in_the_batch(random):
    images = jnp.asarray(3 * random.normal(size=(5, 4, 4, 2)), jnp.float32)
    model = Network()
    variables = model.init(jax.random.key(0), images)
    assert activity.ACTIVITY not in variables
    bias = jnp.array([-1e4, 0.0, 0.0, 1e4])  # the first feature is off everywhere, the last one nowhere
    variables["params"]["conv"]["bias"] = bias
    with activity.watching():
        logits, state = jax.jit(lambda v, x: model.apply(v, x, mutable=[activity.ACTIVITY]))(variables, images)
    np.testing.assert_allclose(logits, model.apply(variables, images), rtol=1e-5, atol=1e-2)
    shares = activity.shares(state)
    assert shares.keys() == {"saturation/tanh", "dead/tanh", "saturation/relu", "dead/relu"}
    np.testing.assert_allclose(shares["saturation/tanh"], (1 - np.tanh(images) ** 2 < 0.05).mean(), rtol=1e-6)
    before = nn.Conv(4, (3, 3)).apply({"params": variables["params"]["conv"]}, jnp.tanh(images))
    np.testing.assert_allclose(shares["saturation/relu"], (np.asarray(before) <= 0).mean(), rtol=1e-6)
    np.testing.assert_allclose(shares["dead/relu"], (np.asarray(before) <= 0).all(axis=(0, 1, 2)).mean(), rtol=1e-6)
    assert 0.25 <= shares["dead/relu"] < 1
    assert shares["dead/tanh"] == 0


def test_outside_of_watching_nothing_is_sown(random):
    images = jnp.asarray(random.normal(size=(5, 4, 4, 2)), jnp.float32)
    model = Network()
    variables = model.init(jax.random.key(0), images)
    _, state = model.apply(variables, images, mutable=[activity.ACTIVITY])
    assert not state


def test_the_norm_of_a_layers_gradient_is_over_all_its_parameters(random):
    gradient = {"block": {"conv": {"kernel": random.normal(size=(3, 2)), "bias": random.normal(size=2)}}}
    gradient["dense"] = {"kernel": random.normal(size=(4, 5))}
    gradient = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), gradient)
    norms = activity.gradient_norms(gradient)
    conv = gradient["block"]["conv"]
    expected = np.sqrt((np.asarray(conv["kernel"]) ** 2).sum() + (np.asarray(conv["bias"]) ** 2).sum())
    assert norms.keys() == {"gradient_norm/block/conv", "gradient_norm/dense"}
    np.testing.assert_allclose(norms["gradient_norm/block/conv"], expected, rtol=1e-6)


@pytest.mark.parametrize("remat", [False, True])
def test_a_step_that_watches_records_it_and_trains_the_same(random, remat):
    batch = {
        "image": jnp.asarray(random.normal(size=(8, 8, 8, 3)), jnp.float32),
        "label": jnp.asarray(random.integers(0, 4, 8), jnp.int32),
    }
    model = models.create("cifar_resnet", depth=8, num_classes=4, remat=remat)
    schedule = schedules.create("constant", steps=1, learning_rate=0.1)
    optimizer = optimizers.create("momentum", learning_rate=schedule)
    after = {}
    for watch in (False, True):
        task = Classification(model, losses.softmax_cross_entropy, watch_activity=watch)
        step = make_train_step(of_task(task), optimizer, schedule, lambda b, key: b, watch_gradients=watch)
        after[watch] = jax.jit(step)(initial_state(task, optimizer, batch, jnp.uint32(0)), batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), after[False][0], after[True][0])
    extra = after[True][1].keys() - after[False][1].keys()
    assert {name.split("/")[0] for name in extra} == {"saturation", "dead", "gradient_norm"}
    assert "gradient_norm/classifier" in extra
    norms = [after[True][1][name].compute() for name in extra if name.startswith("gradient_norm/")]
    whole = after[True][1]["gradient_norm"].compute()
    np.testing.assert_allclose(np.sqrt(np.square(norms).sum()), whole, rtol=1e-4)
