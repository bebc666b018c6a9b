"""Rectifiers reach a training error several times sooner than tanh does.

Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks", figure 1: a
network of four layers on CIFAR-10, without regularisation, the learning rate chosen for each nonlinearity so that it
trains as fast as it can.

    launch.py run relu_vs_tanh              1,797 digits of 8×8 pixels, which come with scikit-learn
    launch.py run relu_vs_tanh:cifar10      the paper's comparison: steps to a training error of 25%
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon import sweep
from canon.errors import UserError

ARGUMENTS = ("digits", "cifar10")


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Do rectifiers reach a training error sooner than tanh?"
    config.paper = "Krizhevsky et al. 2012, ImageNet classification with deep convolutional networks, Fig. 1"
    config.arguments = ARGUMENTS
    config.protocol = "cifar10"
    config.deviations = (
        "The paper does not say which four layers: see the network's docstring.",
        "The training error is that of mini-batches, a mean since the line before.",
    )
    config.model.name = "alexnet_fig1"
    config.optimizer.update(name="momentum_rate_inside", momentum=0.9)
    config.schedule.name = "constant"
    config.data.source = argument
    config.data.normalize = "mean_image"
    config.selection.metric = "steps_to_target"
    config.train.stop_at_target = True
    if argument == "cifar10":
        config.cost = "hours on two CPU cores, half an hour on a GPU"
        rates = (0.01, 0.03, 0.1)
        config.train.target_error = 0.25
        config.train.batch_size = 128
        config.train.steps = 20_000
        config.train.log_every = 100
        config.train.evaluate_every = 2_000
        config.train.checkpoint_every = 1_000
    else:
        config.cost = "3 minutes on two CPU cores"
        config.deviations = (*config.deviations, "Images are grey, enlarged from 8×8, and easier: the target is 2%.")
        config.data.image_size = 32
        rates = (0.01, 0.03, 0.1, 0.3)
        config.train.target_error = 0.02
        config.train.batch_size = 64
        config.train.steps = 600
        config.train.log_every = 10
        config.train.evaluate_every = 50
        config.train.checkpoint_every = 300
    config.candidates = ConfigDict(sweep.grid({"schedule.learning_rate": rates}))
    config.arms = ConfigDict({name: {"model": {"activation": name}} for name in ("tanh", "relu")})
    claim = canon_config.claim(
        statement="Tanh needs more steps than rectifiers to come to the same training error.",
        higher="tanh",
        lower="relu",
        metric="steps_to_target",
        ratio=True,
        published="CIFAR-10: six times as many to 25%",
        source="Krizhevsky et al. 2012, Fig. 1",
    )
    config.claims = ConfigDict({"rectifiers_are_faster": claim})
    return config
