"""What a network makes on the way to its logits, layer by layer."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon import models
from canon.analysis import layers as analysis_layers
from canon.layers.residual import BasicBlock


@pytest.fixture
def modern(random, draw):
    """A small network, its variables, and images."""
    model = models.create("lenet5_modern", dropout_rate=0.5)
    images = jnp.asarray(random.normal(size=(3, 28, 28, 1)), jnp.float32)
    return model, draw(lambda key: model.init(key, images)), images


@pytest.fixture
def residual(random, draw):
    """The same, with statistics as a network in training has them."""
    model = models.create("cifar_resnet", depth=8)
    images = jnp.asarray(random.normal(size=(4, 8, 8, 3)), jnp.float32)
    variables = draw(lambda key: model.init(key, images))
    statistics = jax.tree.map(
        lambda a: a + random.uniform(0.1, 0.3, a.shape).astype(np.float32), variables["batch_stats"]
    )
    return model, variables | {"batch_stats": statistics}, images


def test_a_layer_inside_a_block_is_named_after_both(residual):
    _, layers = models.intermediates(*residual)
    blocks = [f"stage{stage}_block1" for stage in (1, 2, 3)]
    inside = [f"{block}/{layer}" for block in blocks for layer in ("conv1", "norm1", "relu1", "conv2", "norm2", "relu")]
    assert set(layers) == {"conv", "norm", "relu", *blocks, *inside, "pool", "dropout", "classifier"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("mlp", {}), ("lenet5", {}), ("alexnet", {}), ("alexnet_fig1", {}), ("zfnet", {}), ("vgg11", {"batch_norm": True}),
     ("googlenet", {}), ("googlenet", {"form": "torchvision"}), ("resnet18", {"shortcut": "C"}), ("se_resnet50", {})],
)  # fmt: skip
def test_every_layer_that_a_prediction_calls_is_among_them_and_no_other(name, arguments):
    """Against the trace of `canon.analysis`, which sees the calls themselves."""
    model = models.create(name, **arguments)
    called = {layer.name for layer in analysis_layers.trace(model, model.native_shape).layers}
    images = jax.ShapeDtypeStruct((1, *model.native_shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = jax.eval_shape(lambda k, x: models.intermediates(model, model.init(k, x), x)[1], key, images)
    assert set(shapes) == {name for name in called if not name.startswith("auxiliary")}  # they are for training


def test_values_are_what_each_layer_makes_by_hand(modern):
    model, variables, images = modern
    logits, layers = models.intermediates(model, variables, images)
    params = variables["params"]

    def conv(x, p, padding):
        x = jax.lax.conv_general_dilated(
            x, p["kernel"], (1, 1), [(padding, padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return x + p["bias"]

    def pool(x):
        batch, height, width, channels = x.shape
        return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))

    expected = {}
    expected["conv1"] = conv(images, params["conv1"], 2)
    expected["relu1"] = np.maximum(expected["conv1"], 0)
    expected["pool1"] = pool(expected["relu1"])
    expected["conv2"] = conv(expected["pool1"], params["conv2"], 0)
    expected["relu2"] = np.maximum(expected["conv2"], 0)
    expected["pool2"] = pool(expected["relu2"])
    x = expected["pool2"].reshape(3, -1)
    for i in (3, 4):
        expected[f"fc{i}"] = x @ params[f"fc{i}"]["kernel"] + params[f"fc{i}"]["bias"]
        x = expected[f"relu{i}"] = np.maximum(expected[f"fc{i}"], 0)
    expected["dropout"] = x
    expected["fc5"] = x @ params["fc5"]["kernel"] + params["fc5"]["bias"]
    assert layers.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(layers[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(logits, layers["fc5"])


def test_a_blocks_output_is_that_of_the_block_alone(residual):
    model, variables, images = residual
    _, layers = models.intermediates(model, variables, images)
    of_block = {collection: tree["stage2_block1"] for collection, tree in variables.items()}
    alone = BasicBlock(32, 2, shortcut="A").apply(of_block, layers["stage1_block1"])
    np.testing.assert_allclose(layers["stage2_block1"], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("train", [False, True])
def test_logits_are_those_of_apply(residual, train):
    model, variables, images = residual
    logits, layers = models.intermediates(model, variables, images, train=train)
    expected, _ = model.apply(variables, images, train=train, mutable=["batch_stats"])
    np.testing.assert_array_equal(logits, expected)
    np.testing.assert_array_equal(logits, layers["classifier"])


def test_training_normalises_by_the_batch_and_prediction_by_the_statistics(residual):
    model, variables, images = residual
    _, training = models.intermediates(model, variables, images, train=True)
    np.testing.assert_allclose(training["norm"].mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(training["norm"].std(axis=(0, 1, 2)), 1, rtol=1e-4)
    _, prediction = models.intermediates(model, variables, images)
    np.testing.assert_array_equal(prediction["conv"], training["conv"])
    mean, variance = (variables["batch_stats"]["norm"][kind] for kind in ("mean", "var"))
    expected = (prediction["conv"] - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(prediction["norm"], expected, rtol=1e-4, atol=1e-5)


def test_variables_stay_as_they_were(residual):
    model, variables, images = residual
    before = jax.tree.map(np.array, variables)
    models.intermediates(model, variables, images, train=True)
    jax.tree.map(np.testing.assert_array_equal, variables, before)


def test_googlenets_auxiliary_logits_are_layers_of_training_alone():
    model = models.create("googlenet", num_classes=3, form="torchvision")
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def run(key, images):
        variables = model.init(key, images)
        return models.intermediates(model, variables, images, train=True, rngs={"dropout": key})

    logits, layers = jax.eval_shape(run, key, images)
    assert logits.shape == layers["auxiliary1"].shape == layers["auxiliary2"].shape == (2, 3)
