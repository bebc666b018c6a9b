"""A network here and its twin in PyTorch, with the same weights and on the same images, in float64.

What PyTorch calls `module.weight` is found by the path of our parameter, rewritten by a table of regular expressions,
so that nothing here depends on `canon.models.pretrained`.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax import numpy as jnp
from tests import compiling

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}

Rewrites = Sequence[tuple[str, str]]


def translated(shapes, tensors: Mapping[str, np.ndarray], rewrites: Rewrites, flattened: Mapping[str, tuple]):
    """PyTorch's tensors, weights or their gradients, as a tree of arrays like `shapes`.

    Args:
      shapes: a tree of collections, such as `model.init` makes.
      tensors: by PyTorch's names.
      rewrites: (pattern, replacement) pairs that make PyTorch's module of ours, `stage1_block1/conv1` for instance.
      flattened: (height, width, channels) of what the dense layer of that name sees, channel by channel in PyTorch.
    """

    def find(path, leaf):
        _, *module, kind = (entry.key for entry in path)
        name = "/".join(module)
        for pattern, replacement in rewrites:
            name = re.sub(pattern, replacement, name)
        array = tensors[f"{name}.{LEAVES[kind]}"]
        if kind == "kernel" and array.ndim == 4 and len(leaf.shape) == 4:
            array = array.transpose(2, 3, 1, 0)
        elif kind == "kernel" and module[-1] in flattened:
            height, width, channels = flattened[module[-1]]
            array = array.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(leaf.shape)
        elif kind == "kernel":
            array = array.reshape(array.shape[:2]).T
        assert array.shape == leaf.shape, name
        return array

    return jax.tree_util.tree_map_with_path(find, shapes)


def torch_outputs_and_gradients(module, images: np.ndarray, train: bool):
    """(outputs, tensors, gradients): gradients are those of the sum of all outputs' squares. Dropout is off."""
    import torch

    module.double().train(train)
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    tensors = {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}
    outputs = module(torch.tensor(images).permute(0, 3, 1, 2))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum((output**2).sum() for output in outputs).backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in module.named_parameters()}
    return [output.detach().numpy() for output in outputs], tensors, gradients


def outputs_and_gradients(forward: Callable, variables, images: np.ndarray):
    """The same of `forward(variables, images)`, a list of outputs; only the collection `params` is differentiated."""

    def objective(params):
        outputs = forward({**variables, "params": params}, jnp.asarray(images))
        return sum((output**2).sum() for output in outputs), outputs

    with_gradients = jax.jit(jax.value_and_grad(objective, has_aux=True), compiler_options=compiling.AS_LAUNCHED)
    (_, outputs), gradients = with_gradients(variables["params"])
    return outputs, jax.tree.map(np.asarray, gradients)


def assert_trees_close(ours, theirs, rtol: float = 1e-6):
    """Each array to `rtol`, or to a billionth of its largest number where numbers cancel."""
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs))

    def check(path, mine, other):
        size = np.abs(other)
        tolerance = rtol * size + 1e-9 * size.max() + 1e-12 * largest
        difference = np.abs(mine - other)
        assert (difference <= tolerance).all(), f"{jax.tree_util.keystr(path)} differs by up to {difference.max()}"

    jax.tree_util.tree_map_with_path(check, ours, theirs)
