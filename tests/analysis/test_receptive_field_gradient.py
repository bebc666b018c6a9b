"""Receptive fields against gradients: a unit sees the pixels that its gradient is not zero for."""

import math

import jax
import numpy as np
from flax import linen as nn
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from canon.analysis.receptive_field import receptive_fields
from canon.layers.convolution import Conv, ConvTranspose
from canon.layers.pooling import AvgPool, MaxPool


class Stack(nn.Module):
    """The steps that a strategy draws, and a last layer called `end`; every step has numbers for each spatial axis."""

    steps: tuple
    pool: type = AvgPool

    @nn.compact
    def __call__(self, x):
        return Conv(1, (1,) * (x.ndim - 2), name="end")(self._run(self.steps, x))

    def _run(self, steps, x):
        for kind, *numbers in steps:
            x = getattr(self, f"_{kind}")(x, *numbers)
        return x

    def _conv(self, x, window, strides, dilation, padding):
        return Conv(2, window, strides, kernel_dilation=dilation, padding=padding)(x)

    def _pooled(self, x, window, strides):
        return self.pool(window, strides, tuple(w // 2 for w in window))(x)

    def _slice(self, x, start, step):
        return x[(slice(None), *(slice(a, None, b) for a, b in zip(start, step, strict=True)))]

    def _pad(self, x, padding):
        return jnp.pad(x, [(0, 0), *padding, (0, 0)])

    def _transposed(self, x, window, strides, padding):
        return ConvTranspose(2, window, strides, padding)(x)

    def _branches(self, x, merge, one, other):
        one, other = self._run(one, x), self._run(other, x)
        sizes = [min(pair) for pair in zip(one.shape[1:-1], other.shape[1:-1], strict=True)]
        one, other = (y[(slice(None), *map(slice, sizes))] for y in (one, other))
        return one + other.sum(axis=-1, keepdims=True) if merge == "add" else jnp.concatenate([one, other], axis=-1)


def steps(axes, strides=(1, 2)):
    """One step that divides positions by one of `strides`, along each of so many axes."""

    def each(values):
        return st.tuples(*[values] * axes)

    small, stride = st.integers(0, 2), each(st.sampled_from(strides))
    padding = each(st.tuples(small, small))
    window = each(st.integers(1, 4))
    return st.one_of(
        st.tuples(
            st.just("conv"), window, stride, each(st.integers(1, 3)), padding | st.sampled_from(["half", "full"])
        ),
        st.tuples(st.just("pooled"), each(st.integers(1, 3)), stride),
        st.tuples(st.just("slice"), each(small), stride),
        st.tuples(st.just("pad"), padding),
    )


@st.composite
def branches(draw, axes):
    """A strided convolution and more beside a shortcut that leaves positions out, added or joined."""
    stride = draw(st.tuples(*[st.integers(1, 2)] * axes))
    inside = st.lists(steps(axes, strides=(1,)), max_size=2)
    one = [("conv", (3,) * axes, stride, (1,) * axes, "half"), *draw(inside)]
    other = [*draw(inside), ("slice", (0,) * axes, stride)]
    return ("branches", draw(st.sampled_from(["add", "join"])), one, other)


def transposed(axes):
    """Windows at least as large as the stride, so that every unit sees something."""
    along = st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 1))

    def step(numbers):
        strides, extra, padding = zip(*numbers, strict=True)
        window = tuple(s + e for s, e in zip(strides, extra, strict=True))
        return ("transposed", window, strides, tuple(min(p, w - 1) for p, w in zip(padding, window, strict=True)))

    return st.tuples(*[along] * axes).map(step)


def seen(model, shape, stride):
    """(padding, size) of the field of `end` along each axis, or None where units in the middle see the image's edge.

    By the gradient of these units, as many as there are fractions of a pixel: weights are positive, nothing cancels.
    """
    image = jnp.ones(shape)
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image[None])
    variables = jax.tree.map(lambda leaf: jnp.asarray(random.uniform(0.5, 1.5, leaf.shape), jnp.float32), shapes)
    period = math.lcm(*(s.denominator for s in stride))
    middle = [n // 2 // period * period for n in jax.eval_shape(model.apply, variables, image[None]).shape[1:-1]]
    units = np.add.outer(np.arange(period), middle)

    @jax.jit
    def gradients(variables, units):
        def unit(image, at):
            return model.apply(variables, image[None])[(0, *at, 0)]

        return jax.vmap(jax.grad(unit), (None, 0))(image, tuple(units.T))

    result = []
    found = np.asarray(gradients(variables, units)).sum(axis=-1) > 0
    for axis, s in enumerate(stride):
        others = tuple(i for i in range(1, found.ndim) if i != axis + 1)
        pixels = [np.flatnonzero(row) for row in found.any(axis=others)]
        if min(p[0] for p in pixels) < 12 or max(p[-1] for p in pixels) >= shape[axis] - 12:
            return None
        result.append((middle[axis] * s - int(pixels[0][0]), max(int(p[-1] - p[0]) + 1 for p in pixels)))
    return result


def compare(drawn, shape):
    field = receptive_fields(Stack(tuple(drawn)), shape)["end"]
    found = seen(Stack(tuple(drawn)), shape, field.stride)
    assume(found is not None)
    assert list(zip(field.padding, field.size, strict=True)) == found
    assert receptive_fields(Stack(tuple(drawn), MaxPool), shape)["end"] == field


@given(st.lists(steps(1) | branches(1), min_size=1, max_size=4))
@settings(max_examples=30)
def test_the_field_of_any_graph_is_where_the_gradient_is_not_zero(drawn):
    compare(drawn, (300, 2))


@given(st.lists(steps(2) | branches(2), min_size=1, max_size=2))
@settings(max_examples=10)
def test_the_field_is_where_the_gradient_is_not_zero_along_each_of_two_axes(drawn):
    compare(drawn, (72, 64, 2))


@given(st.lists(transposed(1), min_size=1, max_size=2), st.lists(steps(1) | branches(1), max_size=2))
@settings(max_examples=15)
def test_the_field_of_what_enlarges_is_where_the_gradient_is_not_zero(larger, drawn):
    compare(larger + drawn, (150, 2))


@given(st.lists(steps(1), min_size=1, max_size=2), transposed(1), st.lists(steps(1), max_size=1))
@settings(max_examples=10)
def test_the_field_of_what_is_made_small_and_large_again_holds_all_pixels_with_a_gradient(smaller, larger, drawn):
    model = Stack((*smaller, larger, *drawn))
    field = receptive_fields(model, (200, 2))["end"]
    found = seen(model, (200, 2), field.stride)
    assume(found is not None)
    ((padding, size),) = found
    assert padding <= field.padding[0]
    assert size <= field.size[0]
