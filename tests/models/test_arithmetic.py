"""The numbers of parameters, added up from what the papers say of each layer; nothing of the networks is used."""

import itertools
import math

import jax
import pytest
from jax import numpy as jnp

from canon import models


def conv(size, channels, features, groups=1, bias=True, norm=False):
    """Weights of size × size filters, a bias for each feature, a scale and a shift for each where it is normalised."""
    return size * size * (channels // groups) * features + (features if bias else 0) + (2 * features if norm else 0)


def dense(*units):
    """Fully connected layers, one after another: weights and biases."""
    return sum(inputs * outputs + outputs for inputs, outputs in itertools.pairwise(units))


def alexnet(groups=2):
    """Krizhevsky et al. 2012, section 3.5: "kernels of size 5×5×48" are those of one GPU's half."""
    convolutions = [
        (11, 3, 96, 1),
        (5, 96, 256, groups),
        (3, 256, 384, 1),
        (3, 384, 384, groups),
        (3, 384, 256, groups),
    ]
    return sum(conv(*layer) for layer in convolutions) + dense(6 * 6 * 256, 4096, 4096, 1000)


def alexnet_one_column():
    """Krizhevsky 2014: the filters of cuda-convnet2's `layers-imagenet-1gpu.cfg`."""
    convolutions = [(11, 3, 64), (5, 64, 192), (3, 192, 384), (3, 384, 256), (3, 256, 256)]
    return sum(conv(*layer) for layer in convolutions) + dense(6 * 6 * 256, 4096, 4096, 1000)


def alexnet_fig1():
    """cuda-convnet's `layers-19pct.cfg`: 32×32 pixels, halved three times."""
    return conv(5, 3, 32) + conv(5, 32, 32) + conv(5, 32, 64) + dense(4 * 4 * 64, 10)


def zfnet():
    """Zeiler and Fergus 2013, figure 3."""
    convolutions = [(7, 3, 96), (5, 96, 256), (3, 256, 384), (3, 384, 384), (3, 384, 256)]
    return sum(conv(*layer) for layer in convolutions) + dense(6 * 6 * 256, 4096, 4096, 1000)


def lenet5_modern():
    return conv(5, 1, 6) + conv(5, 6, 16) + dense(5 * 5 * 16, 120, 84, 10)


def vgg(configuration, norm=False):
    """Simonyan and Zisserman 2014, table 1: a column of it, with a comma for each max pool."""
    channels, total = 3, 0
    for features in map(int, configuration.replace(",", " ").split()):
        total += conv(3, channels, features, norm=norm)
        channels = features
    return total + dense(7 * 7 * 512, 4096, 4096, 1000)


A = "64, 128, 256 256, 512 512, 512 512"
B = "64 64, 128 128, 256 256, 512 512, 512 512"
D = "64 64, 128 128, 256 256 256, 512 512 512, 512 512 512"
E = "64 64, 128 128, 256 256 256 256, 512 512 512 512, 512 512 512 512"

# Szegedy et al. 2014, table 1: 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection.
GOOGLENET = """
3a  64  96 128 16  32  32
3b 128 128 192 32  96  64
4a 192  96 208 16  48  64
4b 160 112 224 24  64  64
4c 128 128 256 24  64  64
4d 112 144 288 32  64  64
4e 256 160 320 32 128 128
5a 256 160 320 32 128 128
5b 384 192 384 48 128 128
"""


def googlenet(torchvision=False, auxiliary=True):
    """Table 1, and section 5's auxiliary networks, on 4×4 positions. torchvision's form has 3×3 in place of 5×5."""
    kind = {"bias": False, "norm": True} if torchvision else {}
    total = conv(7, 3, 64, **kind) + conv(1, 64, 64, **kind) + conv(3, 64, 192, **kind)
    channels = 192
    for row in GOOGLENET.strip().splitlines():
        one, reduce3, three, reduce5, five, projection = map(int, row.split()[1:])
        total += conv(1, channels, one, **kind) + conv(1, channels, projection, **kind)
        total += conv(1, channels, reduce3, **kind) + conv(3, reduce3, three, **kind)
        total += conv(1, channels, reduce5, **kind) + conv(3 if torchvision else 5, reduce5, five, **kind)
        channels = one + three + five + projection
        if auxiliary and row.startswith(("4a", "4d")):
            total += conv(1, channels, 128, **kind) + dense(4 * 4 * 128, 1024, 1000)
    return total + dense(channels, 1000)


def resnet(blocks, bottleneck=False, shortcut="B", gated=False):
    """He et al. 2015, table 1: convolutions without biases, since each is normalised; Hu et al. 2017, section 3."""
    kind = {"bias": False, "norm": True}
    total, channels = conv(7, 3, 64, **kind), 64
    for stage, repetitions in enumerate(blocks):
        features = 64 * 2**stage
        out = 4 * features if bottleneck else features
        for _ in range(repetitions):
            if bottleneck:
                total += conv(1, channels, features, **kind) + conv(3, features, features, **kind)
                total += conv(1, features, out, **kind)
            else:
                total += conv(3, channels, features, **kind) + conv(3, features, features, **kind)
            if shortcut == "C" or (shortcut == "B" and channels != out):
                total += conv(1, channels, out, **kind)
            if gated:
                total += dense(out, out // 16, out)
            channels = out
    return total + dense(channels, 1000)


COUNTS = [
    (alexnet(), "alexnet", {}),
    (alexnet(groups=1), "alexnet", {"columns": 1}),
    (alexnet_one_column(), "alexnet_one_column", {}),
    (alexnet_fig1(), "alexnet_fig1", {}),
    (zfnet(), "zfnet", {}),
    (lenet5_modern(), "lenet5_modern", {}),
    (vgg(A), "vgg11", {}),
    (vgg(B), "vgg13", {}),
    (vgg(D), "vgg16", {}),
    (vgg(E), "vgg19", {}),
    (vgg(A, norm=True), "vgg11", {"batch_norm": True}),
    (vgg(B, norm=True), "vgg13", {"batch_norm": True}),
    (vgg(D, norm=True), "vgg16", {"batch_norm": True}),
    (vgg(E, norm=True), "vgg19", {"batch_norm": True}),
    (googlenet(), "googlenet", {}),
    (googlenet(auxiliary=False), "googlenet", {"auxiliary": False}),
    (googlenet(torchvision=True), "googlenet", {"form": "torchvision"}),
    (googlenet(torchvision=True, auxiliary=False), "googlenet", {"form": "torchvision", "auxiliary": False}),
    (resnet((2, 2, 2, 2), shortcut="none"), "plain18", {}),
    (resnet((3, 4, 6, 3), shortcut="none"), "plain34", {}),
    (resnet((2, 2, 2, 2)), "resnet18", {}),
    (resnet((2, 2, 2, 2), shortcut="A"), "resnet18", {"shortcut": "A"}),
    (resnet((2, 2, 2, 2), shortcut="C"), "resnet18", {"shortcut": "C"}),
    (resnet((3, 4, 6, 3)), "resnet34", {}),
    (resnet((3, 4, 6, 3), bottleneck=True), "resnet50", {}),
    (resnet((3, 4, 6, 3), bottleneck=True, shortcut="C"), "resnet50", {"shortcut": "C"}),
    (resnet((3, 4, 23, 3), bottleneck=True), "resnet101", {}),
    (resnet((3, 8, 36, 3), bottleneck=True), "resnet152", {}),
    (resnet((3, 4, 6, 3), bottleneck=True, gated=True), "se_resnet50", {}),
]


@pytest.mark.parametrize(("count", "name", "arguments"), COUNTS)
def test_parameters_follow_from_the_papers_arithmetic(count, name, arguments):
    model = models.create(name, **arguments)
    images = jax.ShapeDtypeStruct((1, *model.native_shape), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == count


def test_arithmetic_gives_what_the_papers_print():
    """In millions: Simonyan and Zisserman, table 2; Krizhevsky et al., abstract; Hu et al., section 4."""
    assert [round(vgg(column) / 1e6) for column in (A, B, D, E)] == [133, 133, 138, 144]
    assert round(alexnet() / 1e7) == 6
    gates = resnet((3, 4, 6, 3), bottleneck=True, gated=True) - resnet((3, 4, 6, 3), bottleneck=True)
    assert round(gates / 1e6, 1) == 2.5
