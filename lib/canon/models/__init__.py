"""The networks, one family per file, and the dict that names them.

from canon import models

model = models.create("cifar_resnet", depth=20, num_classes=10)
variables = model.init(jax.random.key(0), images)
logits = model.apply(variables, images)
"""

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn

from canon import catalog
from canon.errors import UserError
from canon.models import alexnet, resnet, vgg
from canon.models.alexnet_fig1 import AlexNetFig1
from canon.models.autoencoder import Autoencoder
from canon.models.char_rnn import CharRNN
from canon.models.cifar_resnet import CifarResNet
from canon.models.googlenet import GoogLeNet
from canon.models.image_to_sequence import ImageToSequence
from canon.models.lenet import LeNet5, ModernLeNet5
from canon.models.mlp import MLP
from canon.models.peptide_classifier import PeptideClassifier
from canon.models.peptide_matrix import PeptideMatrix
from canon.models.seq2seq import Seq2Seq
from canon.models.sequence_classifier import SequenceClassifier
from canon.models.tagger import Tagger
from canon.models.zfnet import ZFNet

IMAGE_MODELS = {
    "mlp": MLP,
    "lenet5": LeNet5,
    "lenet5_modern": ModernLeNet5,
    "alexnet": alexnet.alexnet,
    "alexnet_one_column": alexnet.alexnet_one_column,
    "alexnet_fig1": AlexNetFig1,
    "zfnet": ZFNet,
    "vgg11": vgg.vgg11,
    "vgg13": vgg.vgg13,
    "vgg16": vgg.vgg16,
    "vgg19": vgg.vgg19,
    "googlenet": GoogLeNet,
    "cifar_resnet": CifarResNet,
    "plain18": resnet.plain18,
    "plain34": resnet.plain34,
    "resnet18": resnet.resnet18,
    "resnet34": resnet.resnet34,
    "resnet50": resnet.resnet50,
    "resnet101": resnet.resnet101,
    "resnet152": resnet.resnet152,
    "se_resnet50": resnet.se_resnet50,
}
"""From images to logits."""

KINDS = {
    "image": IMAGE_MODELS,
    # From tokens, and what was carried, to logits of the next tokens.
    "text": {"char_rnn": CharRNN},
    # From sequences of features, and their lengths, to logits.
    "sequence": {"sequence_classifier": SequenceClassifier},
    # From sequences of features, and their lengths, to logits of each step.
    "tag": {"tagger": Tagger},
    # From a sequence of tokens, its length, and the beginning of another to logits of the other's next tokens.
    "translation": {"seq2seq": Seq2Seq},
    # From an image and the beginning of a sequence to logits of its next tokens.
    "caption": {"image_to_sequence": ImageToSequence},
    # From sequences of amino acids, and their lengths, to logits.
    "peptide": {"peptide_classifier": PeptideClassifier, "peptide_matrix": PeptideMatrix},
    # From images to themselves.
    "reconstruction": {"autoencoder": Autoencoder},
}
"""The networks by what they are of."""

MODELS = {name: model for of_kind in KINDS.values() for name, model in of_kind.items()}


def names(kind: str = "") -> list[str]:
    """The names that `create` knows, sorted: all, or those of one of `KINDS`."""
    return sorted(KINDS[kind] if kind else MODELS)


def check_kind(name: str, kind: str) -> None:
    """Raises `UserError` unless the model `name` is of a kind, one of `KINDS`."""
    catalog.look_up("model", MODELS, name)
    if name not in names(kind):
        raise UserError(f"the model {name} is not one of {kind}s (there are: {', '.join(names(kind))})")


def arguments(name: str) -> dict[str, Any]:
    """What model `name` can be given, with its defaults. Raises `UserError` for a name that does not exist."""
    return catalog.arguments(catalog.look_up("model", MODELS, name))


def create(name: str, **kwargs: Any) -> nn.Module:
    """The model called `name`, to be used through `init` and `apply`.

    Raises:
      UserError: the name, an argument, or an argument's value is wrong; the message says what there is.
    """
    return catalog.create("model", MODELS, name, kwargs)


def intermediates(
    model: nn.Module, variables: Mapping[str, Any], images: jax.Array, **kwargs: Any
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """What the network makes of the images, and what each of its layers makes on the way.

    Args:
      model: any of these networks.
      variables: as `model.init` returns them.
      images: `[batch, height, width, channels]`.
      kwargs: for `model.apply`, such as `train=True` and `rngs`; the statistics of a training pass are not returned.

    Returns:
      The logits, and every layer's output by the layer's name: `conv1`,
      `stage2_block1/relu1`, ...
    """
    kept = [name for name in variables if name != "params"] if kwargs.get("train") else []
    logits, updates = model.apply(
        variables, images, mutable=["intermediates", *kept], capture_intermediates=True, **kwargs
    )
    return logits, _by_name(updates["intermediates"], ())


def _by_name(tree: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, jax.Array]:
    found = {}
    for key, value in tree.items():
        if key != "__call__":
            found |= _by_name(value, (*path, key))
        elif path:  # the network's own output is the logits
            found["/".join(path)] = value[-1]  # a layer that extends one of Flax's is seen twice
    return found
