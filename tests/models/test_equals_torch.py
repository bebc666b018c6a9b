"""Every network against its twin in PyTorch: logits, and the gradient of every parameter, in float64.

Images are small, and most are not square, so that height and width cannot be taken for one another. Residual networks
keep three of their blocks. `test_pretrained.py` compares the logits of whole ones, and of a VGG that is normalised.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from tests.models import torch_comparison
from tests.models.torch_comparison import Rewrites

from canon import models

CLASSES = 7

RESNET = (
    *((r"^conv$", "conv1"), (r"^norm$", "bn1"), (r"^classifier$", "fc")),
    *((r"gate/reduce", "se/fc1"), (r"gate/expand", "se/fc2")),
    *((r"projection_norm", "downsample/1"), (r"projection", "downsample/0"), (r"/norm", "/bn")),
    *((rf"^stage(\d)_block{i}/", rf"layer\1/{i - 1}/") for i in range(1, 7)),
    ("/", "."),
)
GOOGLENET = (
    *((r"^conv2/", "conv3/"), (r"^conv2_reduce", "conv2"), (r"^classifier$", "fc"), (r"^auxiliary", "aux")),
    *((r"/norm$", "/bn"), (r"branch4", "branch4/1")),
    *((r"branch([23])/", r"branch\1/1/"), (r"branch([23])_reduce", r"branch\1/0")),
    ("/", "."),
)
ONE_COLUMN = (
    *((f"conv{i}", f"features.{k}") for i, k in ((1, 0), (2, 3), (3, 6), (4, 8), (5, 10))),
    *((f"fc{i}", f"classifier.{k}") for i, k in ((6, 1), (7, 4), (8, 6))),
)
VGG11 = (
    *((f"conv{i}", f"features.{k}") for i, k in (("1_1", 0), ("2_1", 3), ("3_1", 6), ("3_2", 8))),
    *((f"conv{i}", f"features.{k}") for i, k in (("4_1", 11), ("4_2", 13), ("5_1", 16), ("5_2", 18))),
    *((f"fc{i}", f"classifier.{k}") for i, k in ((6, 0), (7, 3), (8, 6))),
)


@dataclass(frozen=True)
class Case:
    """A network by name and arguments, its twin, and where PyTorch keeps its arrays.

    Attributes:
      arguments: of `models.create`.
      twin: makes the other side from `benchmarks.torch_networks`.
      size: (height, width) of the images.
      rewrites, flattened: see `torch_comparison.translated`.
      train: whether the network is in training, where it normalises by the batch and has auxiliary outputs.
      batch: how many images.
    """

    arguments: Mapping[str, Any]
    twin: Callable[[Any], Any]
    size: tuple[int, int]
    rewrites: Rewrites = ()
    flattened: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    train: bool = False
    batch: int = 2


def resized(networks, layers, name, inputs):
    """Gives a dense layer of the PyTorch module another number of inputs, as smaller images leave them."""
    setattr(layers, name, networks.nn.Linear(inputs, getattr(layers, name).out_features))
    return layers


def alexnet(networks, columns):
    return resized(networks, networks.alexnet(CLASSES, columns), "fc6", 1 * 2 * 256)


def zfnet(networks):
    return resized(networks, networks.zfnet(CLASSES), "fc6", 1 * 2 * 256)


def without_pool(networks, module, first, inputs):
    """torchvision's form without the pool that makes 224×224 pixels of smaller images."""
    module.avgpool = networks.nn.Identity()
    resized(networks, module.classifier, first, inputs)
    return module


def googlenet(networks):
    module = networks.googlenet(CLASSES, "paper")
    for head in (module.aux1, module.aux2):
        resized(networks, head, "fc1", 1 * 2 * 128)
    return module


def shortened(networks, module):
    """A residual network of two stages: three blocks, of which one keeps the size and one halves it."""
    module.stages = ["layer1", "layer2"]
    for name, size in zip(module.stages, SHORT, strict=True):
        setattr(module, name, getattr(module, name)[:size])
    del module.layer3, module.layer4
    module.fc = networks.nn.Linear(module.layer2[-1].bn1.num_features * module.layer2[-1].expansion, CLASSES)
    return module


SHORT = (1, 2)


def residual(name, twin, train, **arguments):
    return Case({"name": name, **arguments}, lambda t: shortened(t, twin(t)), (33, 25), RESNET, train=train)


WIDE = {"fc6": (1, 2, 256)}
CASES = {
    "lenet5_modern": Case(
        {"name": "lenet5_modern"}, lambda t: t.lenet5_modern(CLASSES), (28, 28),
        (("fc3", "fc1"), ("fc4", "fc2"), ("fc5", "fc3")), {"fc3": (5, 5, 16)},
    ),
    "alexnet": Case({"name": "alexnet"}, lambda t: alexnet(t, 2), (67, 99), (), WIDE, batch=1),
    "alexnet-joined": Case({"name": "alexnet", "columns": 1}, lambda t: alexnet(t, 1), (67, 99), (), WIDE),
    "alexnet_one_column": Case(
        {"name": "alexnet_one_column"}, lambda t: without_pool(t, t.alexnet_one_column(CLASSES), "1", 2 * 256),
        (63, 95), ONE_COLUMN, WIDE,
    ),
    "alexnet_fig1": Case(
        {"name": "alexnet_fig1"}, lambda t: t.alexnet_fig1(CLASSES), (32, 32),
        (("classifier", "fc"),), {"classifier": (4, 4, 64)},
    ),
    "alexnet_fig1-tanh": Case(
        {"name": "alexnet_fig1", "activation": "tanh"}, lambda t: t.alexnet_fig1(CLASSES, activation="tanh"), (32, 32),
        (("classifier", "fc"),), {"classifier": (4, 4, 64)},
    ),
    "zfnet": Case({"name": "zfnet"}, zfnet, (53, 85), (), WIDE, batch=1),
    "vgg11": Case(
        {"name": "vgg11"}, lambda t: without_pool(t, t.vgg(11, num_classes=CLASSES), "0", 2 * 512), (32, 64),
        VGG11, {"fc6": (1, 2, 512)}, batch=1,
    ),
    "googlenet": Case(
        {"name": "googlenet"}, googlenet, (81, 129), GOOGLENET, {"fc1": (1, 2, 128)}, train=True, batch=1
    ),
    "googlenet-torchvision": Case(
        {"name": "googlenet", "form": "torchvision"}, lambda t: t.googlenet(CLASSES, "torchvision"), (48, 80),
        GOOGLENET, {"fc1": (4, 4, 128)}, train=True,
    ),
    "plain18": residual("plain18", lambda t: t.resnet(18, CLASSES, "none"), True),
    "resnet18": residual("resnet18", lambda t: t.resnet(18, CLASSES), True),
    "resnet18-A": residual("resnet18", lambda t: t.resnet(18, CLASSES, "A"), True, shortcut="A"),
    "resnet50": residual("resnet50", lambda t: t.resnet(50, CLASSES, stride_in="1x1"), True),
    "resnet50-3x3": residual("resnet50", lambda t: t.resnet(50, CLASSES), False, bottleneck_stride="3x3"),
    "se_resnet50": residual("se_resnet50", lambda t: t.se_resnet50(CLASSES), True, bottleneck_stride="3x3"),
}  # fmt: skip


# The form that torchvision publishes; that of the paper is compared always.
LONG = {"googlenet-torchvision"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in CASES])
def test_equals_pytorch_in_logits_and_in_every_gradient(name, torch_networks, random):
    case = CASES[name]
    module = torch_networks.randomize(case.twin(torch_networks), seed=0)
    images = random.normal(size=(case.batch, *case.size, 1 if name == "lenet5_modern" else 3))
    expected, tensors, gradients = torch_comparison.torch_outputs_and_gradients(module, images, case.train)

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # Flax mixes in a float32
        model = models.create(**case.arguments, num_classes=CLASSES, dtype="float64")
        changes = {rate: 0.0 for rate in ("dropout_rate", "auxiliary_dropout_rate") if hasattr(model, rate)}
        model = model.clone(**changes, **({"stage_sizes": SHORT} if case.rewrites is RESNET else {}))

        def forward(variables, images):
            logits, updates = model.apply(variables, images, case.train, mutable=["batch_stats", "auxiliary_logits"])
            auxiliary = updates.get("auxiliary_logits", {})
            return [logits, *(auxiliary[key] for key in sorted(auxiliary, reverse=True))]

        shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.asarray(images))
        variables = torch_comparison.translated(shapes, tensors, case.rewrites, case.flattened)
        outputs, ours = torch_comparison.outputs_and_gradients(forward, variables, images)
    assert len(outputs) == len(expected)
    for mine, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-8)
    theirs = torch_comparison.translated({"params": ours}, gradients, case.rewrites, case.flattened)
    torch_comparison.assert_trees_close(ours, theirs["params"])
