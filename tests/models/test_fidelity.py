"""Every network against its paper, or against the checkpoints that are published of it: what it is, as numbers.

Parameters are exact. Where they come from is in `test_arithmetic.py`; the shapes on the way are in `test_shapes.py`.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from canon import models
from canon.analysis.summary import summarize


@dataclass(frozen=True, eq=False)
class Row:
    """A network as it is published.

    Attributes:
      parameters: how many numbers it learns.
      depth: layers with weights on the longest way from the image to the logits.
      image: (height, width, channels) that it takes.
      name: in `canon.models`.
      arguments: those that make this form of it.
      multiply_adds: as the paper prints them, in billions.
    """

    parameters: int
    depth: int
    image: tuple[int, int, int]
    name: str
    arguments: dict[str, Any]
    multiply_adds: str = ""

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.arguments.items())])


GREY_28, GREY_32, CIFAR, CAFFE, IMAGENET = (28, 28, 1), (32, 32, 1), (32, 32, 3), (227, 227, 3), (224, 224, 3)

ROWS = [
    Row(1_276_810, 3, GREY_28, "mlp", {}),  # 784-800-800-10
    Row(60_000, 6, GREY_32, "lenet5", {}),  # the paper counts seven: its output layer has patterns, and learns nothing
    Row(60_850, 7, GREY_32, "lenet5", {"output": "linear"}),
    Row(61_706, 5, GREY_28, "lenet5_modern", {}),
    Row(60_965_224, 8, CAFFE, "alexnet", {}),
    Row(62_378_344, 8, CAFFE, "alexnet", {"columns": 1}),
    Row(61_100_840, 8, IMAGENET, "alexnet_one_column", {}),
    Row(89_578, 4, CIFAR, "alexnet_fig1", {}),
    Row(62_357_608, 8, IMAGENET, "zfnet", {}),
    Row(132_863_336, 11, IMAGENET, "vgg11", {}),
    Row(133_047_848, 13, IMAGENET, "vgg13", {}),
    Row(138_357_544, 16, IMAGENET, "vgg16", {}),
    Row(143_667_240, 19, IMAGENET, "vgg19", {}, "19.6"),
    Row(132_868_840, 11, IMAGENET, "vgg11", {"batch_norm": True}),
    Row(133_053_736, 13, IMAGENET, "vgg13", {"batch_norm": True}),
    Row(138_365_992, 16, IMAGENET, "vgg16", {"batch_norm": True}),
    Row(143_678_248, 19, IMAGENET, "vgg19", {"batch_norm": True}),
    Row(13_378_280, 22, IMAGENET, "googlenet", {}, "1.5"),
    Row(6_998_552, 22, IMAGENET, "googlenet", {"auxiliary": False}),
    Row(13_004_888, 22, IMAGENET, "googlenet", {"form": "torchvision"}),
    Row(6_624_904, 22, IMAGENET, "googlenet", {"form": "torchvision", "auxiliary": False}),
    Row(269_722, 20, CIFAR, "cifar_resnet", {}),
    Row(464_154, 32, CIFAR, "cifar_resnet", {"depth": 32}),
    Row(658_586, 44, CIFAR, "cifar_resnet", {"depth": 44}),
    Row(853_018, 56, CIFAR, "cifar_resnet", {"depth": 56}),
    Row(1_727_962, 110, CIFAR, "cifar_resnet", {"depth": 110}),
    Row(853_018, 56, CIFAR, "cifar_resnet", {"depth": 56, "shortcut": "none"}),
    Row(11_515_688, 18, IMAGENET, "plain18", {}),
    Row(21_623_848, 34, IMAGENET, "plain34", {}, "3.6"),
    Row(11_689_512, 18, IMAGENET, "resnet18", {}, "1.8"),
    Row(11_515_688, 18, IMAGENET, "resnet18", {"shortcut": "A"}),
    Row(12_043_816, 18, IMAGENET, "resnet18", {"shortcut": "C"}),
    Row(21_797_672, 34, IMAGENET, "resnet34", {}, "3.6"),
    Row(25_557_032, 50, IMAGENET, "resnet50", {}, "3.8"),
    Row(25_557_032, 50, IMAGENET, "resnet50", {"bottleneck_stride": "3x3"}),
    Row(44_549_160, 101, IMAGENET, "resnet101", {}, "7.6"),
    Row(60_192_808, 152, IMAGENET, "resnet152", {}, "11.3"),
    # 16 gates of two dense layers each are on the way too: 50 + 32.
    Row(28_088_024, 82, IMAGENET, "se_resnet50", {}, "3.87"),
]

every_row = pytest.mark.parametrize("row", ROWS, ids=str)


def create(row):
    return models.create(row.name, **row.arguments)


@cache
def summary(row):
    return summarize(create(row), row.image)


def test_every_name_is_in_the_table():
    assert {row.name for row in ROWS} == set(models.names("image"))


@every_row
def test_has_the_published_number_of_parameters(row):
    assert summary(row).parameters == row.parameters


@every_row
def test_ends_in_a_number_for_each_of_the_papers_classes(row):
    assert summary(row).rows[-1].layer.shape == (1000 if row.image[0] > 200 else 10,)


@every_row
def test_has_the_published_number_of_layers_with_weights(row):
    assert summary(row).depth == row.depth


@every_row
def test_takes_the_published_size_of_image(row):
    assert create(row).native_shape == row.image


# He et al. 2015 print one digit after the point (table 1; section 3.3 for VGG-19), which they get now by cutting, now
# by rounding: 3.86 is 3.8, and 7.57 is 7.6. Hu et al. 2017 print two (section 4). Szegedy et al. 2014 name a budget
# (section 1).
@pytest.mark.parametrize("row", [row for row in ROWS if row.multiply_adds], ids=str)
def test_needs_the_multiply_adds_that_the_paper_prints_up_to_one_of_its_last_digit(row):
    digit = 10.0 ** -len(row.multiply_adds.split(".")[1])
    assert abs(summary(row).multiply_adds / 1e9 - float(row.multiply_adds)) < digit


def test_a_stride_in_the_3x3_lets_the_1x1_before_it_see_four_times_as_many_positions():
    one, three = (row for row in ROWS if row.name == "resnet50")
    at_full_size = 56 * 56 * 256 * 128 + 28 * 28 * 512 * 256 + 14 * 14 * 1024 * 512
    assert summary(three).multiply_adds - summary(one).multiply_adds == at_full_size * 3 // 4
