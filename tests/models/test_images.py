"""Which images the networks take: any number of channels, and any size that leaves something to each layer."""

import jax
import pytest
from jax import numpy as jnp

from canon import models
from canon.errors import UserError


def logits(model, *shape):
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    return jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0]


# They are other names' networks with more layers.
DEEPER = {"vgg13", "vgg16", "vgg19", "plain34", "resnet34", "resnet101", "resnet152"}


@pytest.mark.parametrize("name", sorted({*models.names("image")} - DEEPER))
def test_images_have_any_number_of_channels(name):
    model = models.create(name, num_classes=4)
    for channels in (1, 5):
        assert logits(model, *model.native_shape[:2], channels).shape == (2, 4)


# The smallest edge that a network takes, and what does not fit into the next smaller.
SMALLEST = {
    "lenet5": (32, "C5: its window of 5×5 does not fit into the 4×4"),
    "lenet5_modern": (12, "pool2: its window of 2×2 does not fit into the 1×1"),
    "alexnet": (67, "pool5: its window of 3×3 does not fit into the 2×2"),
    "alexnet_one_column": (63, "pool5: its window of 3×3 does not fit into the 2×2"),
    "zfnet": (53, "pool5: its window of 3×3 does not fit into the 2×2"),
    "vgg11": (32, "pool5: its window of 2×2 does not fit into the 1×1"),
    "vgg13": (32, "pool5: its window of 2×2 does not fit into the 1×1"),
    "vgg16": (32, "pool5: its window of 2×2 does not fit into the 1×1"),
    "vgg19": (32, "pool5: its window of 2×2 does not fit into the 1×1"),
    "googlenet": (79, "auxiliary1/pool: its window of 5×5 does not fit into the 4×4"),
    # With half padding everywhere, a single pixel is enough.
    "alexnet_fig1": (1, "conv1: its window of 5×5 does not fit into the 0×0"),
    **dict.fromkeys(["cifar_resnet"], (1, "conv: its window of 3×3 does not fit into the 0×0")),
    **dict.fromkeys(
        [name for name in models.names("image") if name.startswith(("plain", "resnet", "se_resnet"))],
        (1, "conv: its window of 7×7 does not fit into the 0×0"),
    ),
}


def test_the_smallest_image_of_every_convolutional_network_is_in_the_table():
    assert {*SMALLEST, "mlp"} == set(models.names("image"))


@pytest.mark.parametrize("name", SMALLEST)
def test_an_image_that_is_too_small_is_answered_with_the_layer_that_it_does_not_reach(name):
    smallest, says = SMALLEST[name]
    model = models.create(name, num_classes=4)
    assert logits(model, smallest, smallest, 3).shape == (2, 4)
    for shape in ((smallest - 1, smallest), (smallest, smallest - 1), (smallest - 1, smallest - 1)):
        with pytest.raises(UserError) as caught:
            logits(model, *shape, 3)
        assert "\n" not in str(caught.value)
        assert "the network needs larger images" in str(caught.value)
    assert f"layer {says}" in str(caught.value)


@pytest.mark.parametrize(
    ("form", "auxiliary", "smallest", "last"),
    # 15: torchvision says so too.
    [("paper", False, 31, "pool4"), ("torchvision", True, 15, "pool3"), ("torchvision", False, 15, "pool3")],
)
def test_googlenet_takes_smaller_images_without_the_papers_auxiliary_classifiers(form, auxiliary, smallest, last):
    model = models.create("googlenet", num_classes=4, form=form, auxiliary=auxiliary)
    assert logits(model, smallest, smallest, 3).shape == (2, 4)
    with pytest.raises(UserError, match=f"layer {last}: its window"):
        logits(model, smallest - 1, smallest - 1, 3)
