"""The names that torchvision and timm give to the layers of each network.

Each function takes a model and the path of a layer in it, such as `("stage1_block1", "conv1")`, and returns what that
layer is called in a published checkpoint, such as `layer1.0.conv1`. It raises `UserError` where there are no published
checkpoints of this form of the network.
"""

from collections.abc import Callable

from flax import linen as nn

from canon.errors import UserError
from canon.models.alexnet import AlexNet
from canon.models.googlenet import GoogLeNet
from canon.models.resnet import ResNet
from canon.models.vgg import VGG


def alexnet_name(model: AlexNet, module: tuple[str, ...]) -> str:
    if model.response_norm:
        raise UserError("there is no published checkpoint of this AlexNet; alexnet_one_column is torchvision's")
    conv = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
    dense = {"fc6": 1, "fc7": 4, "fc8": 6}
    (name,) = module
    return f"features.{conv[name]}" if name in conv else f"classifier.{dense[name]}"


def vgg_name(model: VGG, module: tuple[str, ...]) -> str:
    (name,) = module
    dense = {"fc6": 0, "fc7": 3, "fc8": 6}
    if name in dense:
        return f"classifier.{dense[name]}"
    # torchvision counts convolutions, norms, rectifiers and pools in one row.
    kind, stage, i = name[:4], int(name[4:].split("_")[0]), int(name.split("_")[1])
    layers = 3 if model.batch_norm else 2
    before = sum(layers * size + 1 for size in model.stage_sizes[: stage - 1])
    return f"features.{before + layers * (i - 1) + (kind == 'norm')}"


def resnet_name(model: ResNet, module: tuple[str, ...]) -> str:
    # Neither shows in the shapes of the weights: they would fit, and another network would compute with them.
    if model.shortcut != "B" or (model.bottleneck and model.bottleneck_stride != "3x3"):
        raise UserError(
            "published checkpoints are of residual nets with shortcut=B and bottleneck_stride=3x3; "
            "canon.models.pretrained.create makes them so"
        )
    names = {
        "conv": "conv1", "norm": "bn1", "classifier": "fc", "projection": "downsample.0",
        "projection_norm": "downsample.1", "gate": "se", "reduce": "fc1", "expand": "fc2",
    }  # fmt: skip

    def translate(name: str) -> str:
        if name.startswith("stage"):
            stage, block = name.removeprefix("stage").split("_block")
            return f"layer{stage}.{int(block) - 1}"
        return names.get(name, name.replace("norm", "bn"))

    return ".".join(map(translate, module))


def googlenet_name(model: GoogLeNet, module: tuple[str, ...]) -> str:
    if model.form != "torchvision":
        raise UserError("published checkpoints are of torchvision's form of GoogLeNet: form=torchvision")
    names = {
        "conv2": "conv3", "conv2_reduce": "conv2", "classifier": "fc", "auxiliary1": "aux1", "auxiliary2": "aux2",
    }  # fmt: skip
    branches = {
        "branch2_reduce": "branch2.0", "branch2": "branch2.1", "branch3_reduce": "branch3.0", "branch3": "branch3.1",
        "branch4": "branch4.1",
    }  # fmt: skip
    first, *rest = module
    rest = [branches.get(name, "bn" if name == "norm" else name) for name in rest]
    return ".".join([names.get(first, first), *rest])


FAMILIES: tuple[tuple[type[nn.Module], Callable, dict[str, tuple[int, int, int]]], ...] = (
    (AlexNet, alexnet_name, {"fc6": (6, 6, 256)}),
    (VGG, vgg_name, {"fc6": (7, 7, 512)}),
    (ResNet, resnet_name, {}),
    (GoogLeNet, googlenet_name, {"fc1": (4, 4, 128)}),
)
"""A kind of network, the name of its modules, and what is flattened before which dense layer: (h, w, channels)."""
