import math

import jax
import pytest
from flax import linen as nn
from jax import numpy as jnp

from canon import models
from canon.analysis import layers
from canon.errors import UserError
from canon.layers.activations import Activation
from canon.layers.convolution import Conv


class Pair(nn.Module):
    """Two arrays in, one of them by its name, and two out."""

    @nn.compact
    def __call__(self, x, *, y):
        return nn.Dense(3)(x), nn.Dense(5)(y)


class Small(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = Activation(name="relu")(Conv(4, (3, 3), name="conv")(x))
        shared = nn.Dense(4, name="shared")
        one, other = Pair(name="pair")(shared(x), y=shared(shared(x)))
        nn.Dense(2, name="forgotten")(x)
        return one.sum(axis=(1, 2)) + self.param("shift", nn.initializers.zeros, (3,)) + other.sum()


@pytest.fixture
def small():
    return layers.trace(Small(), (6, 5, 2))


def test_layers_come_in_the_order_of_their_calls_with_their_own_outputs(small):
    assert [(layer.name, layer.kind, layer.shape) for layer in small.layers] == [
        ("conv", "Conv", (6, 5, 4)),
        ("relu", "Activation", (6, 5, 4)),
        ("shared", "Dense", (6, 5, 4)),
        ("shared", "Dense", (6, 5, 4)),
        ("shared", "Dense", (6, 5, 4)),
        ("pair", "Pair", (6, 5, 3)),
        ("pair/Dense_0", "Dense", (6, 5, 3)),
        ("pair/Dense_1", "Dense", (6, 5, 5)),
        ("forgotten", "Dense", (6, 5, 2)),
    ]


def test_a_layer_with_layers_inside_is_no_leaf(small):
    assert [layer.name for layer in small.layers if not layer.is_leaf] == ["pair"]


def test_a_layer_on_which_no_output_depends_is_not_used(small):
    assert [layer.name for layer in small.layers if not layer.is_used] == ["forgotten"]


def test_parameters_are_those_of_the_layer_alone_and_counted_once_in_all(small):
    parameters = {layer.name: layer.parameters for layer in small.layers}
    assert parameters["conv"] == {"kernel": 3 * 3 * 2 * 4, "bias": 4}
    assert parameters["relu"] == parameters["pair"] == {}
    assert parameters["pair/Dense_1"] == {"kernel": 20, "bias": 5}
    variables = jax.eval_shape(Small().init, jax.random.key(0), jnp.zeros((1, 6, 5, 2)))
    assert small.parameters == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables))


def test_layers_that_weigh_their_inputs_are_those_that_papers_count():
    trace = layers.trace(models.create("resnet18"), (64, 64, 3))
    kinds = {layer.kind for layer in trace.layers if layer.is_weighted}
    assert kinds == {"Conv", "Dense"}
    subsampling = layers.trace(models.create("lenet5"), (32, 32, 1)).layers[2]
    assert (subsampling.name, subsampling.is_weighted) == ("S2", True)


def test_a_prediction_does_not_use_the_auxiliary_classifiers_and_nothing_else_is_left_out():
    trace = layers.trace(models.create("googlenet"), (224, 224, 3))
    unused = {layer.name.split("/")[0] for layer in trace.layers if not layer.is_used}
    assert unused == {"auxiliary1", "auxiliary2"}
    assert not [layer for layer in trace.layers if layer.name.startswith("auxiliary") and layer.is_used]


def test_every_mark_that_begins_is_followed_by_its_end(small):
    marks = [layers.mark(equation) for equation in small.jaxpr.jaxpr.eqns]
    marks = [mark for mark in marks if mark]
    for i in range(len(small.layers)):
        kinds = [kind for kind, index in marks if index == i]
        assert kinds == sorted(kinds)  # begin before end
        assert {"begin", "end"} == set(kinds)


def test_what_is_computed_again_in_the_backward_pass_is_seen_through():
    plain, again = (
        layers.trace(models.create("cifar_resnet", depth=8, remat=remat), (32, 32, 3)) for remat in (False, True)
    )
    assert [(layer.name, layer.shape, layer.is_used) for layer in again.layers] == [
        (layer.name, layer.shape, layer.is_used) for layer in plain.layers
    ]


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("vgg16", (20, 20, 3), "layer pool5: its window of 2×2 does not fit into the 1×1"),
        ("googlenet", (50, 50, 3), "layer auxiliary1/pool"),
        ("alexnet", (30, 200, 3), "layer pool2"),
        ("vgg16", (10**30, 32, 3), "the network cannot take images of shape"),
    ],
)
def test_an_image_that_does_not_fit_is_refused_in_one_line(name, shape, reason):
    with pytest.raises(UserError, match=reason) as refusal:
        layers.trace(models.create(name), shape)
    assert "\n" not in str(refusal.value)


def test_a_network_with_layers_inside_a_loop_is_refused_and_not_miscounted():
    class Recurrent(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.RNN(nn.SimpleCell(3))(x)

    with pytest.raises(UserError, match="layers inside a scan"):
        layers.trace(Recurrent(), (5, 4))
