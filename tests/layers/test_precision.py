from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.layers import pooling
from canon.layers.activations import ACTIVATIONS, Activation
from canon.layers.convolution import Conv, ConvTranspose
from canon.layers.normalization import BatchNorm, LocalResponseNorm
from canon.layers.precision import at_least_float32
from canon.layers.residual import BasicBlock, BottleneckBlock
from canon.layers.squeeze_excitation import SqueezeExcitation

IMAGES = (2, 6, 6, 8)
# Each layer as a function of its dtype; those without parameters take the input's.
LAYERS = {
    "Conv 1d": (lambda dtype: Conv(4, (3,), dtype=dtype), (2, 6, 8)),
    "Conv 2d": (lambda dtype: Conv(4, (3, 3), strides=2, padding="half", dtype=dtype), IMAGES),
    "Conv 3d": (lambda dtype: Conv(4, (2, 2, 2), feature_group_count=2, dtype=dtype), (1, 3, 3, 3, 8)),
    "ConvTranspose": (lambda dtype: ConvTranspose(4, (2, 2), strides=2, dtype=dtype), IMAGES),
    "MaxPool": (lambda _: pooling.MaxPool(3, 2, padding=1), IMAGES),
    "AvgPool": (lambda _: pooling.AvgPool(3, 2, padding=1), IMAGES),
    "AvgPool with padding": (lambda _: pooling.AvgPool(3, 2, padding=1, count_include_pad=True), IMAGES),
    "AdaptiveAvgPool": (lambda _: pooling.AdaptiveAvgPool((4, 4)), IMAGES),
    "GlobalAvgPool": (lambda _: pooling.GlobalAvgPool(), IMAGES),
    "GlobalMaxPool": (lambda _: pooling.GlobalMaxPool(), IMAGES),
    "max_over_time": (
        lambda _: Activation(partial(pooling.max_over_time, lengths=np.array([2, 6], np.int32))),
        (2, 6, 8),
    ),
    "BatchNorm": (lambda _: BatchNorm(use_running_average=False), IMAGES),
    "LocalResponseNorm": (lambda _: LocalResponseNorm(alpha=0.1), IMAGES),
    "SqueezeExcitation": (lambda dtype: SqueezeExcitation(2, dtype), IMAGES),
    **{name: (lambda _, f=function: Activation(f), IMAGES) for name, function in ACTIVATIONS.items()},
    **{
        f"BasicBlock {shortcut}": (
            lambda dtype, s=shortcut: BasicBlock(8, shortcut=s, reduction=2, dtype=dtype),
            IMAGES,
        )
        for shortcut in ("A", "C", "none")
    },
    "BottleneckBlock": (lambda dtype: BottleneckBlock(4, stride=2, shortcut="B", reduction=4, dtype=dtype), IMAGES),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_bfloat16_gives_bfloat16_near_the_float32_result_and_finite_gradients(name, random):
    build, shape = LAYERS[name]
    layer, wide = build(jnp.bfloat16), build(jnp.float32)
    x = random.normal(size=shape).astype(jnp.bfloat16)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} <= {jnp.dtype("float32")}
    variables = jax.tree.map(lambda leaf: random.uniform(-0.5, 0.5, leaf.shape).astype(leaf.dtype), shapes)
    if "batch_stats" in variables:  # a variance is positive
        variables["batch_stats"] = jax.tree.map(lambda leaf: 1 + leaf, variables["batch_stats"])

    @jax.jit
    def run(x, variables):
        def loss(x, params):
            y = layer.apply(variables | {"params": params}, x, mutable=["batch_stats"])[0]
            return jnp.square(y).sum(), y

        gradients, y = jax.grad(loss, argnums=(0, 1), has_aux=True)(x, variables.get("params", {}))
        return gradients, y, wide.apply(variables, x.astype(jnp.float32), mutable=["batch_stats"])[0]

    gradients, y, expected = run(x, variables)
    assert y.dtype == jnp.bfloat16
    assert gradients[0].dtype == jnp.bfloat16
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(gradients))
    # Half a unit of the last place is 2⁻⁹ of a number; the deepest layer here rounds some ten times.
    np.testing.assert_allclose(np.asarray(y, np.float32), expected, rtol=0.02, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("name", [name for name in LAYERS if "Conv" in name or "Block" in name or "Squeeze" in name])
def test_the_dtype_of_a_layer_is_that_of_its_computation_whatever_the_inputs(name):
    build, shape = LAYERS[name]
    x = np.zeros(shape, np.float32)
    y, _ = jax.eval_shape(build(jnp.bfloat16).init_with_output, jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")],
)
def test_at_least_float32_widens_what_is_shorter_and_nothing_else(dtype, expected):
    assert at_least_float32(dtype) == expected
    assert at_least_float32(jnp.dtype(dtype)) == expected
