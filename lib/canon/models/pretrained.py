"""Weights from elsewhere: torchvision's and timm's checkpoints into our parameters, and back.

    from canon.models import pretrained

    model, variables = pretrained.load("resnet50", "resnet50.safetensors")

Every tensor of a checkpoint must be used, and every parameter filled. Names differ, and so does the layout of arrays:
PyTorch keeps a convolution's kernel as [features, channels, height, width], and flattens an image channel by channel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from canon import imagenet, models, weight_files
from canon.errors import UserError, did_you_mean
from canon.models.alexnet import AlexNet
from canon.models.googlenet import GoogLeNet
from canon.models.resnet import ResNet
from canon.models.vgg import VGG

Variables = dict[str, Any]

_3X3 = {"bottleneck_stride": "3x3"}
FORMS: dict[str, dict[str, Any]] = {
    "alexnet_one_column": {},
    "googlenet": {"form": "torchvision"},
    "resnet18": {},
    "resnet34": {},
    "resnet50": _3X3,
    "resnet101": _3X3,
    "resnet152": _3X3,
    "se_resnet50": _3X3,  # timm's `seresnet50`
    "vgg11": {},
    "vgg13": {},
    "vgg16": {},
    "vgg19": {},
}
"""By the model's name, the arguments that make it the network that the published checkpoints are of."""


def create(name: str, **kwargs: Any) -> nn.Module:
    """The model called `name` in the form that published checkpoints are of; `kwargs` are further arguments.

    Raises:
      UserError: there are no published checkpoints of that network, or an argument is wrong.
    """
    if name not in FORMS:
        if name in models.MODELS:
            raise UserError(f"there is no published checkpoint of {name} (there are of: {', '.join(FORMS)})")
        raise UserError(f"no model is called {name!r}{did_you_mean(name, FORMS)} (there are: {', '.join(FORMS)})")
    return models.create(name, **FORMS[name] | kwargs)


def load(name: str, path: Path | str, **kwargs: Any) -> tuple[nn.Module, Variables]:
    """A network with the weights of a file: `model.apply(variables, images)` gives logits.

    Args:
      name: of a model; see `FORMS`.
      path: a safetensors file, or a state dict of PyTorch; see `canon.weight_files`.
      kwargs: further arguments of the model, such as `num_classes=10` or `batch_norm=True`.

    Raises:
      UserError: the name, an argument or the file is wrong, or the weights are of another network.
    """
    model = create(name, **kwargs)
    tensors = weight_files.read(path)
    try:
        return model, from_torch(model, tensors)
    except UserError as error:
        raise UserError(f"{path} does not hold the weights of this {name}: {error}") from error


def save(path: Path | str, model: nn.Module, variables: Mapping[str, Any]) -> None:
    """Writes a network's weights as a safetensors file that torchvision's or timm's module of that name loads."""
    weight_files.write(path, to_torch(model, variables))


def normalization(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, deviation) of each colour, from 0 to 1, by which images are normalised for the published checkpoints."""
    if isinstance(model, GoogLeNet):
        return (0.5,) * 3, (0.5,) * 3  # TensorFlow's, from which that checkpoint was converted
    return imagenet.MEAN, imagenet.DEVIATION


def from_torch(model: nn.Module, tensors: Mapping[str, np.ndarray]) -> Variables:
    """The variables of `model`, as `model.init` would return them, from PyTorch's tensors.

    Args:
      model: see `create`.
      tensors: by the names of torchvision or timm. `num_batches_tracked`, a counter that nothing reads, is passed over;
        float16 and bfloat16 become float32, which keeps every value.

    Raises:
      UserError: a tensor is left over, missing, of another shape or of another type than these; the message lists them.
        Or there are no published checkpoints of this form of the network.
    """
    places = _places(model)
    tensors = {key: array for key, array in tensors.items() if not key.endswith(".num_batches_tracked")}
    wanted = {place.key: place for place in places.values()}
    problems = []
    for title, names in (
        ("the network has no", tensors.keys() - wanted.keys()),
        ("the file lacks", wanted.keys() - tensors.keys()),
    ):
        if names:
            problems.append(f"{title} {_list(sorted(names))}")
    shared = [key for key in wanted if key in tensors]
    shapes = [
        f"{key} {list(tensors[key].shape)}, not {list(wanted[key].theirs_shape)}"
        for key in shared
        if tensors[key].shape != wanted[key].theirs_shape
    ]
    if shapes:
        problems.append(f"of another shape: {_list(shapes)}")
    kinds = [f"{key} {tensors[key].dtype}" for key in shared if tensors[key].dtype.name not in _WIDENED]
    if kinds:
        problems.append(f"not of type float32: {_list(kinds)}")
    if problems:
        raise UserError("; ".join(problems))
    return unflatten_dict(
        {path: place.to_ours(np.asarray(tensors[place.key], np.float32)) for path, place in places.items()}
    )


def to_torch(model: nn.Module, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """PyTorch's tensors from the variables of `model`: the inverse of `from_torch`.

    Raises:
      UserError: the variables are not those of the model.
    """
    places = _places(model)
    arrays = flatten_dict(dict(variables))
    if arrays.keys() != places.keys() or any(arrays[path].shape != place.ours_shape for path, place in places.items()):
        raise UserError("the variables are not those of this model")
    return {place.key: place.to_theirs(np.asarray(arrays[path])) for path, place in places.items()}


_WIDENED = ("float32", "float16", "bfloat16")


def _list(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass(frozen=True)
class _Place:
    """Where an array stands in PyTorch's state dict, and how it is laid out there.

    Attributes:
      key: its name there.
      ours_shape: its shape here.
      split: that shape with its axes apart: a dense kernel that follows a flattened image is [h, w, c, features].
      order: the permutation of these axes that PyTorch has.
      theirs_shape: the shape there.
    """

    key: str
    ours_shape: tuple[int, ...]
    split: tuple[int, ...]
    order: tuple[int, ...]
    theirs_shape: tuple[int, ...]

    def to_theirs(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array.reshape(self.split).transpose(self.order)).reshape(self.theirs_shape)

    def to_ours(self, array: np.ndarray) -> np.ndarray:
        array = array.reshape([self.split[axis] for axis in self.order])
        return np.ascontiguousarray(array.transpose(np.argsort(self.order))).reshape(self.ours_shape)


_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def _places(model: nn.Module) -> dict[tuple[str, ...], _Place]:
    name_of, flattened = _family(model)
    images = jax.ShapeDtypeStruct((1, *model.native_shape), np.float32)
    shapes = flatten_dict(dict(jax.eval_shape(model.init, jax.random.key(0), images)))
    places = {}
    for path, leaf in shapes.items():
        module = path[1:-1]
        key = f"{name_of(model, module)}.{_LEAVES[path[-1]]}"
        shape = split = tuple(leaf.shape)
        order = tuple(range(len(shape)))
        if path[-1] == "kernel":
            if len(shape) == 2 and module[-1] in flattened:
                split = (*flattened[module[-1]], shape[1])
            # [..., channels, features] here, [features, channels, ...] there.
            order = (len(split) - 1, len(split) - 2, *range(len(split) - 2))
        theirs = tuple(split[axis] for axis in order)
        if len(split) != len(shape):
            theirs = (theirs[0], shape[0])
        elif path[-1] == "kernel" and "gate" in module:  # a dense layer here, a 1×1 convolution in timm
            theirs = (*theirs, 1, 1)
        places[path] = _Place(key, shape, split, order, theirs)
    return places


def _family(model: nn.Module) -> tuple[Callable, dict[str, tuple[int, int, int]]]:
    for kind, name_of, flattened in _FAMILIES:
        if isinstance(model, kind):
            return name_of, flattened
    raise UserError(f"there is no published checkpoint of {type(model).__name__}")


def _alexnet_name(model: AlexNet, module: tuple[str, ...]) -> str:
    if model.response_norm:
        raise UserError("there is no published checkpoint of this AlexNet; alexnet_one_column is torchvision's")
    conv = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
    dense = {"fc6": 1, "fc7": 4, "fc8": 6}
    (name,) = module
    return f"features.{conv[name]}" if name in conv else f"classifier.{dense[name]}"


def _vgg_name(model: VGG, module: tuple[str, ...]) -> str:
    (name,) = module
    dense = {"fc6": 0, "fc7": 3, "fc8": 6}
    if name in dense:
        return f"classifier.{dense[name]}"
    # torchvision counts convolutions, norms, rectifiers and pools in one row.
    kind, stage, i = name[:4], int(name[4:].split("_")[0]), int(name.split("_")[1])
    layers = 3 if model.batch_norm else 2
    before = sum(layers * size + 1 for size in model.stage_sizes[: stage - 1])
    return f"features.{before + layers * (i - 1) + (kind == 'norm')}"


def _resnet_name(model: ResNet, module: tuple[str, ...]) -> str:
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


def _googlenet_name(model: GoogLeNet, module: tuple[str, ...]) -> str:
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


_FAMILIES: tuple[tuple[type, Callable, dict[str, tuple[int, int, int]]], ...] = (
    (AlexNet, _alexnet_name, {"fc6": (6, 6, 256)}),
    (VGG, _vgg_name, {"fc6": (7, 7, 512)}),
    (ResNet, _resnet_name, {}),
    (GoogLeNet, _googlenet_name, {"fc1": (4, 4, 128)}),
)
"""A kind of network, the name of its modules, and what is flattened before which dense layer: (h, w, channels)."""
