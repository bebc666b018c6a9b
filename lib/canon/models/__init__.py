"""The networks, one family per file, and the dict that names them.

from canon import models

model = models.create("cifar_resnet", depth=20, num_classes=10)
variables = model.init(jax.random.key(0), images)
logits = model.apply(variables, images)
"""

from typing import Any

from flax import linen as nn

from canon import catalog
from canon.models.cifar_resnet import CifarResNet
from canon.models.mlp import MLP

MODELS = {
    "cifar_resnet": CifarResNet,
    "mlp": MLP,
}


def names() -> list[str]:
    """The names that `create` knows, sorted."""
    return sorted(MODELS)


def arguments(name: str) -> dict[str, Any]:
    """What model `name` can be given, with its defaults. Raises `UserError` for a name that does not exist."""
    return catalog.arguments(catalog.look_up("model", MODELS, name))


def create(name: str, **kwargs: Any) -> nn.Module:
    """The model called `name`, to be used through `init` and `apply`.

    Raises:
      UserError: the name, an argument, or an argument's value is wrong; the message says what there is.
    """
    return catalog.create("model", MODELS, name, kwargs)
