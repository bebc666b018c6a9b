"""Gradient descent with momentum comes further in as many steps, and where the learning rate stands matters little.

Sutskever, Martens, Dahl and Hinton 2013, "On the importance of initialization and momentum in deep learning", table 1.
Each form has the learning rate that suits it best.

    launch.py run momentum                1,797 digits of 8×8 pixels, which come with scikit-learn
    launch.py run momentum:cifar10        ResNet-20 on CIFAR-10, 20 epochs
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
    config.title = "Does momentum train a network further in as many steps?"
    config.paper = "Sutskever et al. 2013, On the importance of initialization and momentum in deep learning, Table 1"
    config.arguments = ARGUMENTS
    config.deviations = ("The paper trains deep autoencoders; the measure here is a classifier's training loss.",)
    config.schedule.update(name="step_decay", decay_at=(0.5, 0.75))
    config.data.source = argument
    config.data.normalize = "mean_image"
    config.selection.metric = "train/loss"  # the claim is of how far a network trains
    if argument == "cifar10":
        config.cost = "two days on two CPU cores, an hour on a GPU"
        config.model.update(name="cifar_resnet", depth=20)
        config.augment.pad_crop = 4
        config.augment.flip = True
        config.train.batch_size = 128
        config.train.steps = 8_000
        config.train.log_every = 100
        config.train.evaluate_every = 1_000
        config.train.checkpoint_every = 1_000
    else:
        config.cost = "3 minutes on two CPU cores"
        config.model.update(name="mlp", hidden=(32, 32, 32, 32, 32, 32), activation="tanh")
        config.seeds = 5
        config.selection.folds = (
            10  # at the edge of what is stable, a rate that suits three seeds may fail with a fourth
        )
        config.train.batch_size = 900  # most of them: what slows plain descent down is curvature, not noise
        config.train.steps = 150
        config.train.log_every = 5
        config.train.evaluate_every = 25
        config.train.checkpoint_every = 75
    config.candidates = ConfigDict(sweep.grid({"schedule.learning_rate": (0.01, 0.03, 0.1, 0.3, 1.0)}))
    config.arms = ConfigDict(
        {
            "plain": {"optimizer": {"name": "momentum", "momentum": 0.0}},
            "momentum": {"optimizer": {"name": "momentum", "momentum": 0.9}},
            "rate-inside": {"optimizer": {"name": "momentum_rate_inside", "momentum": 0.9}},
            "nesterov": {"optimizer": {"name": "momentum", "momentum": 0.9, "nesterov": True}},
        }
    )
    table1 = "Sutskever et al. 2013, Table 1: squared error of the training set"
    config.claims = ConfigDict(
        {
            "momentum_helps": canon_config.claim(
                statement="Without momentum the training loss is higher after as many steps.",
                higher="plain",
                lower="momentum",
                metric="train/loss",
                published="autoencoder of curves: 0.48 without, 0.15 with momentum 0.9; of MNIST 2.1 and 1.0",
                source=table1,
            ),
            "nesterov_helps": canon_config.claim(
                statement="Without momentum it is higher than with Nesterov's, too.",
                higher="plain",
                lower="nesterov",
                metric="train/loss",
                published="autoencoder of curves: 0.48 without, 0.16 with Nesterov's 0.9; of MNIST 2.1 and 1.0",
                source=table1,
            ),
            "the_forms_agree": canon_config.claim(
                statement="With the rate inside the velocity the error on new images is not a point worse.",
                higher="momentum",
                lower="rate-inside",
                metric="test/error",
                tolerance=0.01,
                published="they are one rule until the rate changes; no number",
                source="Krizhevsky et al. 2012, section 5, against He et al. 2015, section 3.4",
            ),
        }
    )
    return config
