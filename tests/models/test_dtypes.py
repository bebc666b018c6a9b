"""Computing in fewer or more digits: what is kept in float32, and what is not."""

from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon import models

# One of each kind; the others differ in their number of blocks.
FAMILIES = {
    "mlp": {}, "lenet5": {}, "lenet5_modern": {}, "alexnet": {}, "alexnet_one_column": {}, "alexnet_fig1": {},
    "zfnet": {}, "vgg11": {"batch_norm": True}, "googlenet": {}, "cifar_resnet": {"depth": 8}, "resnet18": {},
    "resnet50": {"bottleneck_stride": "3x3"}, "se_resnet50": {},
}  # fmt: skip
FAMILIES_AND_FORMS = [*FAMILIES.items(), ("googlenet", {"form": "torchvision"}), ("lenet5", {"output": "linear"})]
OUTPUTS = {"classifier", "fc5", "fc8", "output", "auxiliary1", "auxiliary2", "auxiliary1/fc2", "auxiliary2/fc2"}


def traced(name, arguments, dtype):
    """Shapes and dtypes of variables, logits and layers, in training."""
    model = models.create(name, dtype=dtype, **arguments)
    images = jax.ShapeDtypeStruct((2, *model.native_shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def run(key, images):
        variables = model.init(key, images)
        return variables, *models.intermediates(model, variables, images, train=True, rngs={"dropout": key})

    return jax.eval_shape(run, key, images)


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize(
    ("name", "arguments", "dtype"),
    [
        *((name, arguments, "bfloat16") for name, arguments in FAMILIES_AND_FORMS),
        *((name, FAMILIES[name], "float16") for name in ("lenet5", "alexnet", "vgg11", "cifar_resnet")),
    ],
)
def test_half_precision_is_for_the_layers_and_float32_for_what_is_learned_and_for_logits(name, arguments, dtype):
    variables, logits, layers = traced(name, arguments, dtype)
    assert dtypes(variables) == {np.dtype("float32")}
    assert logits.dtype == jnp.float32
    assert {name: layer.dtype for name, layer in layers.items()} == {
        name: jnp.dtype("float32" if name in OUTPUTS else dtype) for name in layers
    }


@pytest.mark.parametrize(("name", "arguments"), FAMILIES_AND_FORMS)
def test_float64_is_for_the_layers_and_the_logits(name, arguments):
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # Flax mixes in a float32
        variables, logits, layers = traced(name, arguments, "float64")
    assert dtypes(variables) == {np.dtype("float32")}  # what is learned is drawn as float32 all the same
    assert logits.dtype == jnp.float64
    assert dtypes(layers) == {np.dtype("float64")}


@pytest.mark.parametrize(("dtype", "digits"), [("bfloat16", 2**-8), ("float16", 2**-11)])
@pytest.mark.parametrize("name", ["lenet5_modern", "cifar_resnet"])
def test_half_precision_gives_nearly_the_same_logits_and_keeps_statistics_in_float32(name, dtype, digits, random, draw):
    arguments = FAMILIES[name]
    model = models.create(name, **arguments)
    images = jnp.asarray(random.normal(size=(4, *model.native_shape)), jnp.float32)
    variables = draw(lambda key: model.init(key, images))

    @partial(jax.jit, static_argnums=0)
    def train(model, variables):
        return model.apply(variables, images, train=True, mutable=["batch_stats"])

    exact, _ = train(model, variables)
    rounded, state = train(models.create(name, dtype=dtype, **arguments), variables)
    assert 0 < abs(rounded - exact).max() < 8 * digits * abs(exact).max()
    assert dtypes(state) <= {np.dtype("float32")}


def test_a_network_takes_images_of_half_precision_too():
    """As a data set that is kept on the device in bfloat16 would give them."""
    for name, arguments in FAMILIES.items():
        model = models.create(name, dtype="bfloat16", **arguments)
        images = jax.ShapeDtypeStruct((1, *model.native_shape), jnp.bfloat16)
        logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
        assert logits.dtype == jnp.float32
        assert dtypes(variables) == {np.dtype("float32")}
