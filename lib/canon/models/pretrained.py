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
from canon.models.googlenet import GoogLeNet
from canon.models.torch_names import FAMILIES
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
        if isinstance(model, VGG) and tensors.keys() == _keys(model.clone(batch_norm=not model.batch_norm)):
            problems.append(f"they are of its form with --batch_norm={str(not model.batch_norm).lower()}")
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
    wrong = [
        f"{'/'.join(path)} {arrays[path].shape if path in arrays else 'missing'}, not {place.ours_shape}"
        for path, place in places.items()
        if path not in arrays or arrays[path].shape != place.ours_shape
    ]
    wrong += [f"{'/'.join(path)}, which it has not" for path in arrays.keys() - places.keys()]
    if wrong:
        height, width, channels = model.native_shape
        raise UserError(
            f"these are not the variables of this model, made for images of {height}×{width}×{channels}: {_list(wrong)}"
        )
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


def _keys(model: nn.Module) -> set[str]:
    return {place.key for place in _places(model).values()}


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
    for kind, name_of, flattened in FAMILIES:
        if isinstance(model, kind):
            return name_of, flattened
    raise UserError(f"there is no published checkpoint of {type(model).__name__}")
