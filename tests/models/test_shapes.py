"""The maps between the layers, against what the papers print of them. Nothing is computed or allocated."""

import jax
import pytest
from jax import numpy as jnp

from canon import models


def shapes(name, train=False, **kwargs):
    """The shape of every layer's output for one image, by the layer's name."""
    model = models.create(name, **kwargs)
    images = jax.ShapeDtypeStruct((1, *model.native_shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def run(key, images):
        variables = model.init(key, images)
        return models.intermediates(model, variables, images, train=train, rngs={"dropout": key})

    return {layer: output.shape[1:] for layer, output in jax.eval_shape(run, key, images)[1].items()}


def sizes(found, *names):
    """Edge lengths of square maps."""
    assert all(found[name][0] == found[name][1] for name in names)
    return [found[name][0] for name in names]


def test_alexnets_maps_have_55_27_13_and_6_positions():
    found = shapes("alexnet")
    assert sizes(found, "conv1", "pool1", "conv2", "pool2", "conv5", "pool5") == [55, 27, 27, 13, 13, 6]
    # Section 3.5's numbers of neurons. (For the first layer it prints 253,440, which is no multiple of 55².)
    neurons = [found[f"conv{i}"][0] * found[f"conv{i}"][1] * found[f"conv{i}"][2] for i in (2, 3, 4, 5)]
    assert neurons == [186_624, 64_896, 64_896, 43_264]
    assert [found[name] for name in ("fc6", "fc7", "fc8")] == [(4096,), (4096,), (1000,)]


def test_alexnets_one_column_has_the_same_maps_with_fewer_channels():
    found = shapes("alexnet_one_column")
    assert sizes(found, "conv1", "pool1", "conv2", "pool2", "conv5", "pool5") == [55, 27, 27, 13, 13, 6]
    assert [found[f"conv{i}"][2] for i in range(1, 6)] == [64, 192, 384, 256, 256]


def test_zfnets_maps_have_the_sizes_of_its_figure_3():
    found = shapes("zfnet")
    names = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    assert sizes(found, *names) == [110, 55, 26, 13, 13, 13, 13, 6]
    assert [found[f"conv{i}"][2] for i in range(1, 6)] == [96, 256, 384, 384, 256]


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
def test_vggs_stages_halve_the_size_and_double_the_features_up_to_512(name):
    found = shapes(name)
    pools = [found[f"pool{stage}"] for stage in range(1, 6)]
    assert pools == [(112, 112, 64), (56, 56, 128), (28, 28, 256), (14, 14, 512), (7, 7, 512)]
    assert all(
        found[f"conv{stage}_1"] == (224 // 2 ** (stage - 1),) * 2 + pools[stage - 1][2:] for stage in range(1, 6)
    )


# Szegedy et al. 2014, table 1: size and channels of each row's output.
GOOGLENET = {
    "conv1": (112, 64), "pool1": (56, 64), "conv2": (56, 192), "pool2": (28, 192),
    "inception3a": (28, 256), "inception3b": (28, 480), "pool3": (14, 480),
    "inception4a": (14, 512), "inception4b": (14, 512), "inception4c": (14, 512), "inception4d": (14, 528),
    "inception4e": (14, 832), "pool4": (7, 832), "inception5a": (7, 832), "inception5b": (7, 1024),
}  # fmt: skip


@pytest.mark.parametrize("form", ["paper", "torchvision"])
def test_googlenets_maps_are_those_of_its_table_1(form):
    found = shapes("googlenet", form=form)
    assert {name: found[name][1:] for name in GOOGLENET} == GOOGLENET
    assert sizes(found, *GOOGLENET) == [size for size, _ in GOOGLENET.values()]
    assert (found["pool5"], found["classifier"]) == ((1024,), (1000,))
    assert not any(name.startswith("auxiliary") for name in found)


@pytest.mark.parametrize("form", ["paper", "torchvision"])
def test_googlenets_auxiliary_classifiers_see_4_by_4_positions(form):
    """Section 5: "resulting in an 4×4×512 output for the (4a), and 4×4×528 for the (4d) stage"."""
    found = shapes("googlenet", train=True, form=form)
    assert [found[f"auxiliary{i}/pool"] for i in (1, 2)] == [(4, 4, 512), (4, 4, 528)]
    assert [found[f"auxiliary{i}/conv"] for i in (1, 2)] == [(4, 4, 128)] * 2
    assert [found[f"auxiliary{i}/fc1"] for i in (1, 2)] == [(1024,)] * 2


# He et al. 2015, table 1: blocks of conv2_x to conv5_x.
RESNETS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
    "plain18": (2, 2, 2, 2),
    "plain34": (3, 4, 6, 3),
    "se_resnet50": (3, 4, 6, 3),
}


@pytest.mark.parametrize("name", RESNETS)
def test_resnets_stages_have_the_blocks_sizes_and_features_of_table_1(name):
    found = shapes(name)
    assert (found["conv"], found["pool1"], found["classifier"]) == ((112, 112, 64), (56, 56, 64), (1000,))
    wider = 1 if name.endswith(("18", "34")) else 4
    for stage, blocks in enumerate(RESNETS[name], start=1):
        size, features = 112 // 2**stage, 64 * 2 ** (stage - 1)
        outputs = {key: shape for key, shape in found.items() if key.startswith(f"stage{stage}") and "/" not in key}
        assert set(outputs) == {f"stage{stage}_block{i}" for i in range(1, blocks + 1)}
        assert set(outputs.values()) == {(size, size, wider * features)}
        assert found[f"stage{stage}_block{blocks}/conv1"] == (size, size, features)


def test_lenet5s_maps_are_those_of_its_figure_2():
    found = shapes("lenet5")
    maps = {"C1": (28, 28, 6), "S2": (14, 14, 6), "C3": (10, 10, 16), "S4": (5, 5, 16), "C5": (1, 1, 120), "F6": (84,)}
    assert {name: found[name] for name in maps} == maps


def test_the_modern_lenet5_has_the_same_maps_on_28_by_28_pixels():
    found = shapes("lenet5_modern")
    maps = {"conv1": (28, 28, 6), "pool1": (14, 14, 6), "conv2": (10, 10, 16), "pool2": (5, 5, 16), "fc3": (120,)}
    assert {name: found[name] for name in maps} == maps


def test_figure_1s_network_halves_its_maps_three_times():
    found = shapes("alexnet_fig1")
    assert [found[f"pool{i}"] for i in (1, 2, 3)] == [(16, 16, 32), (8, 8, 32), (4, 4, 64)]
