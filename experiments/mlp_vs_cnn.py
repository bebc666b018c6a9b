"""A convolutional network errs less on handwritten digits than a fully connected one.

Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks applied to visual document
analysis", table 1; LeCun et al. 1998, figure 9.

    launch.py run mlp_vs_cnn            1,797 digits of 8×8 pixels, which come with scikit-learn
    launch.py run mlp_vs_cnn:mnist      MNIST, with the affine distortions that the published numbers need
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("digits", "mnist")


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does a convolutional network err less on handwritten digits than a fully connected one?"
    config.paper = "Simard et al. 2003, Best practices for convolutional neural networks, Table 1"
    config.arguments = ARGUMENTS
    config.deviations = (
        "Rectifiers, momentum and a cosine schedule; the paper has none of these, and trains for much longer.",
        "The paper does not say how large its affine distortions are: here 10 degrees, a tenth of a side, 2 pixels.",
        "The convolutional network pools; the paper's, with 5 and 50 features and 100 hidden units, has strides.",
    )
    config.optimizer.update(name="momentum", momentum=0.9, weight_decay=1e-4)
    config.data.source = argument
    config.data.normalize = "standardize"
    (mnist if argument == "mnist" else digits)(config)
    config.claims = ConfigDict(
        {
            "convolutions_help": canon_config.claim(
                statement="The convolutional network errs less on new digits than the fully connected one.",
                higher="mlp",
                lower="cnn",
                metric="test/error",
                published="MNIST, affine distortions, cross-entropy: 800 hidden units 1.1%, convolutional network 0.6%",
                source="Simard et al. 2003, Table 1",
            )
        }
    )
    return config


def mnist(config):
    config.cost = "half an hour on two CPU cores"
    config.augment.rotation = 10.0
    config.augment.scale = 0.1
    config.augment.shear = 0.1
    config.augment.translation = 2.0
    config.schedule.update(name="cosine", learning_rate=0.02, warmup_steps=200)
    config.train.batch_size = 128
    config.train.steps = 5_600  # 12 epochs
    config.train.log_every = 100
    config.train.evaluate_every = 700
    config.train.checkpoint_every = 700
    config.figure.error_limit = 5.0
    config.arms = ConfigDict(
        {
            # Each at a rate that suits it; at 0.05 the convolutional network can fail to begin.
            "mlp": {"model": {"name": "mlp", "hidden": (800,)}, "schedule": {"learning_rate": 0.05}},
            "cnn": {"model": {"name": "lenet5_modern", "features": (20, 50), "hidden": (500,)}},
        }
    )


def digits(config):
    config.cost = "2 minutes on two CPU cores"
    config.deviations = (*config.deviations, "Images are 8×8, and both networks smaller.")
    config.augment.rotation = 10.0
    config.augment.scale = 0.1
    config.augment.shear = 0.1
    config.augment.translation = 1.0
    config.schedule.update(name="cosine", learning_rate=0.02, warmup_steps=50)
    config.train.batch_size = 64
    config.train.steps = 1_000
    config.train.log_every = 25
    config.train.evaluate_every = 100
    config.train.checkpoint_every = 500
    config.figure.error_limit = 20.0
    config.arms = ConfigDict(
        {
            "mlp": {"model": {"name": "mlp", "hidden": (100,)}},
            "cnn": {"model": {"name": "alexnet_fig1"}},
        }
    )
