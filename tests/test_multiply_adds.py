"""Multiply-adds, against what XLA counts of the same computation, and by hand where it does not count loops."""

import jax
import numpy as np
import pytest
from jax import lax
from jax import numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from canon import multiply_adds


def ones(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def xla_counts(function, *arguments):
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"] / 2


def convolution(stride, dilation=1):
    def convolve(images, kernel):
        return lax.conv_general_dilated(
            images, kernel, (stride, stride), [(0, 0), (0, 0)], lhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    return convolve


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (jnp.matmul, (ones(3, 5), ones(5, 7))),
        (jnp.matmul, (ones(2, 3, 5), ones(2, 5, 7))),
        (convolution(1), (ones(2, 8, 8, 3), ones(3, 3, 3, 4))),
        (convolution(2), (ones(2, 9, 9, 3), ones(3, 3, 3, 4))),
        (jax.grad(lambda k, x: (convolution(1)(x, k) ** 2).sum()), (ones(3, 3, 3, 4), ones(2, 8, 8, 3))),
    ],
)
def test_products_and_convolutions_are_as_xla_counts_them(function, arguments):
    counted = multiply_adds.of_function(function, *arguments)
    assert counted == pytest.approx(xla_counts(function, *arguments), rel=0.4)  # it counts sums and padding its own way
    assert counted > 0


def test_by_hand():
    assert multiply_adds.of_function(jnp.matmul, ones(3, 5), ones(5, 7)) == 3 * 5 * 7
    assert multiply_adds.of_function(convolution(1), ones(2, 8, 8, 3), ones(3, 3, 3, 4)) == 2 * 6 * 6 * 4 * 9 * 3
    # Zeros between the inputs of a transposed convolution are not multiplied.
    assert multiply_adds.of_function(convolution(1, 2), ones(2, 4, 4, 3), ones(3, 3, 3, 4)) == 2 * 4 * 4 * 3 * 9 * 4


def test_a_loop_counts_as_often_as_it_runs_and_a_condition_its_dearest_branch():
    def loop(x, w):
        return lax.scan(lambda h, _: (h @ w, None), x, None, length=6)[0]

    assert multiply_adds.of_function(loop, ones(2, 4), ones(4, 4)) == 6 * 2 * 4 * 4

    def branches(x, w):
        return lax.cond(x[0, 0] > 0, lambda: x @ w @ w, lambda: x @ w)

    assert multiply_adds.of_function(branches, ones(2, 4), ones(4, 4)) == 2 * 2 * 4 * 4


def test_what_every_device_computes_counts_for_each():
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
    rows = PartitionSpec("data")
    product = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(rows, PartitionSpec()), out_specs=rows)
    assert multiply_adds.of_function(product, ones(8, 5), ones(5, 7)) == 8 * 5 * 7
    assert multiply_adds.of_function(jax.jit(product), ones(8, 5), ones(5, 7)) == 8 * 5 * 7


def in_a_loop(w, x):
    return (lax.scan(lambda h, _: (jnp.tanh(h @ w), None), x, None, length=6)[0] ** 2).sum()


@jax.custom_vjp
def by_hand(w, x):
    return x @ w


by_hand.defvjp(lambda w, x: (x @ w, x), lambda x, g: (x.T @ g @ jnp.eye(5), x * 0))


@jax.custom_vjp
def doubled(w):
    return 2 * w


doubled.defvjp(lambda w: (2 * w, None), lambda _, g: (g @ (2 * jnp.eye(5)),))


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda w, x: (x @ w @ w).sum(), id="products"),
        pytest.param(lambda w, x: (jax.nn.relu(w @ w.T) @ (x.T @ x)).sum(), id="both factors"),
        pytest.param(lambda w, x: (lax.stop_gradient(x @ w) @ w).sum(), id="no gradient through one"),
        pytest.param(lambda w, x: (x @ x.T).sum() + (w**2).sum(), id="no gradient at all"),
        pytest.param(lambda w, x: (x @ w)[0, 0] * (x @ w).argmax().astype(jnp.float32), id="a whole number"),
        pytest.param(lambda w, x: (jax.jit(jnp.matmul)(x, w) @ jax.jit(jnp.matmul)(w, w)).sum(), id="called twice"),
        pytest.param(lambda w, x: jax.checkpoint(lambda h: jnp.tanh(jnp.tanh(h @ w) @ w))(x).sum(), id="a second time"),
        pytest.param(lambda w, x: lax.cond(x[0, 0] > 0, lambda: x @ w @ w, lambda: x @ w).sum(), id="a branch"),
        pytest.param(lambda w, x: by_hand(w, x).sum(), id="a gradient of its own"),
        pytest.param(lambda w, x: (x @ doubled(w)).sum(), id="a product in the gradient alone"),
        pytest.param(lambda w, x: (jnp.floor(x @ w) @ w).sum(), id="steps"),
        pytest.param(lambda w, x: (jax.jit(lax.stop_gradient)(x @ w) @ w).sum(), id="no gradient through a call"),
        pytest.param(lambda w, x: (jax.jit(lambda w: (w, x))(w)[1] @ x.T).sum() + w.sum(), id="one of two results"),
        pytest.param(in_a_loop, id="a loop"),
    ],
)
def test_a_gradient_counts_what_jax_makes_of_it(function):
    written = multiply_adds.of_function(jax.value_and_grad(lambda w, x: function(w, x)), ones(5, 5), ones(3, 5))
    assert multiply_adds.of_gradient(function, ones(5, 5), ones(3, 5)) == written


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_each_gradient_of_a_convolution_counts_as_much_as_the_convolution(stride, dilation, groups):
    def convolve(kernel, images):
        y = lax.conv_general_dilated(
            images, kernel, (stride, stride), [(0, 0), (0, 0)], lhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
        )  # fmt: skip
        return (y**2).sum()

    kernel, images = ones(3, 3, 4 // groups, 6), ones(2, 9, 9, 4)
    forward = multiply_adds.of_function(convolve, kernel, images)
    assert multiply_adds.of_gradient(convolve, kernel, images) == 2 * forward
    assert multiply_adds.of_gradient(lambda both: convolve(*both), (kernel, images)) == 3 * forward


def test_a_gradient_that_is_traced_counts_the_zeros_that_it_pads_with():
    def objective(kernel, images):
        return (convolution(1)(images, kernel) ** 2).sum()

    def in_a_loop(kernel, images):
        return lax.scan(lambda h, _: (h + objective(kernel * h, images + h), None), 1.0, None, length=2)[0]

    kernel, images = ones(3, 3, 4, 6), ones(2, 9, 9, 4)
    of_kernel = of_result = 2 * 7 * 7 * 9 * 4 * 6
    of_images = 2 * 9 * 9 * 9 * 4 * 6
    assert multiply_adds.of_gradient(lambda both: objective(*both), (kernel, images)) == 3 * of_result
    assert multiply_adds.of_gradient(in_a_loop, kernel, images) == 2 * (of_result + of_kernel + of_images)


def test_what_the_objective_does_not_need_has_no_gradient():
    def function(w, x):
        jax.debug.callback(lambda _: None, (x @ w).sum())
        return (w**2).sum()

    assert multiply_adds.of_gradient(function, ones(5, 5), ones(3, 5)) == 3 * 5 * 5
