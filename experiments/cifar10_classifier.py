"""A small convolutional network, from raw images to a test error, beside a linear classifier and a deep one.

    launch.py run cifar10_classifier           1,797 digits of 8×8 pixels, which come with scikit-learn
    launch.py run cifar10_classifier:cifar10   50,000 images of 32×32 pixels

The network is the one of figure 1 of Krizhevsky et al. 2012, three convolutions and a linear layer; any other takes its
place by `--config.arms.cnn.model.name=vgg11`, with `--config.data.image_size=32` where its images must be larger.
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("digits", "cifar10")


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does a small convolutional network classify images better than one without convolutions?"
    config.paper = "Krizhevsky et al. 2012, ImageNet classification with deep convolutional networks, Fig. 1 (network)"
    config.arguments = ARGUMENTS
    config.deviations = (
        "The paper gives the network alone; schedule, weight decay and augmentation are this experiment's own.",
    )
    config.optimizer.update(name="momentum", momentum=0.9, weight_decay=5e-4)
    config.data.source = argument
    config.data.normalize = "standardize"
    if argument == "cifar10":
        config.cost = "a quarter of an hour a run on two CPU cores"
        config.augment.pad_crop = 4
        config.augment.flip = True
        config.schedule.update(name="step_decay", learning_rate=0.03, decay_at=(0.6, 0.8, 0.95))
        config.train.batch_size = 128
        config.train.steps = 8_000  # 20 epochs
        config.train.log_every = 100
        config.train.evaluate_every = 1_000
        config.train.checkpoint_every = 1_000
    else:
        config.cost = "a minute on two CPU cores"
        config.deviations = (*config.deviations, "Images are 8×8 and grey.")
        config.schedule.update(name="step_decay", learning_rate=0.03, decay_at=(0.6, 0.8, 0.95))
        config.train.batch_size = 64
        config.train.steps = 500
        config.train.log_every = 25
        config.train.evaluate_every = 50
        config.train.checkpoint_every = 250
    config.figure.error_limit = 100.0 if argument == "cifar10" else 20.0
    config.arms = ConfigDict(arms(argument))
    config.claims = ConfigDict(claims(argument))
    return config


def arms(argument):
    found = {
        "cnn": {"model": {"name": "alexnet_fig1", "activation": "relu"}},
        "linear": {"model": {"name": "mlp", "hidden": ()}},
    }
    if argument == "cifar10":  # on digits a fully connected network does as well
        found["mlp"] = {"model": {"name": "mlp", "hidden": (512, 512, 512)}}
    return found


def claims(argument):
    found = {
        "layers_help": canon_config.claim(
            statement="A small convolutional network errs less on new images than a linear classifier.",
            higher="linear",
            lower="cnn",
            metric="test/error",
            published="CIFAR-10: a linear classifier of the raw pixels is right on 37.3%; such a network errs on 18%",
            source="Coates et al. 2011, An analysis of single-layer networks in unsupervised feature learning; "
            "cuda-convnet, layers-18pct.cfg (with response normalisation, without augmentation)",
        )
    }
    if argument == "cifar10":
        found["convolutions_help"] = canon_config.claim(
            statement="It errs less than a fully connected network with twenty times as many parameters, too.",
            higher="mlp",
            lower="cnn",
            metric="test/error",
            published="CIFAR-10, cropped to 28×28: three hidden layers of 512 err on 46.65%",
            source="Zhang et al. 2017, Understanding deep learning requires rethinking generalization, Table 1",
        )
    return found
