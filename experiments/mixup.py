"""Training on mixtures of two images and their labels lowers the test error.

Zhang, Cissé, Dauphin and Lopez-Paz 2018, "mixup: beyond empirical risk minimization", figure 3.

    launch.py run mixup                200 of scikit-learn's digits to train on, and 1,237 to test
    launch.py run mixup:cifar10        the paper's schedule, for a smaller network
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("digits", "cifar10")


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does training on mixtures of images lower the test error?"
    config.paper = "Zhang et al. 2018, mixup: beyond empirical risk minimization, Fig. 3"
    config.arguments = ARGUMENTS
    config.protocol = "cifar10"
    config.optimizer.update(name="momentum", momentum=0.9, weight_decay=1e-4)
    config.data.source = argument
    if argument == "cifar10":
        config.cost = "days on two CPU cores, hours on a GPU (78,000 steps a run)"
        config.deviations = ("The network is the ResNet-20 of He et al. 2015, not PreAct ResNet-18.",)
        config.model.update(name="cifar_resnet", depth=20)
        config.data.normalize = "standardize"
        config.augment.pad_crop = 4
        config.augment.flip = True
        config.schedule.update(name="step_decay", learning_rate=0.1, decay_at=(0.5, 0.75))
        config.train.batch_size = 128
        config.train.steps = 78_000  # 200 epochs
        config.train.log_every = 100
        config.train.evaluate_every = 1_000
        config.train.checkpoint_every = 1_000
        config.figure.error_limit = 40.0
    else:
        config.cost = "2 minutes on two CPU cores"
        config.deviations = (
            "Images are 8×8 and grey; 200 of them are seen, so that a network can learn them by heart, and no others.",
        )
        config.seeds = 5
        few_digits(config)
        config.model.name = "alexnet_fig1"
        config.schedule.update(name="cosine", learning_rate=0.05)
        config.train.steps = 1_000
    config.arms = ConfigDict({"plain": {}, "mixup": {"augment": {"mixup": 1.0}}})
    claim = canon_config.claim(
        statement="Without mixup a network errs more on new images.",
        higher="plain",
        lower="mixup",
        metric="test/error" if argument == "cifar10" else "validation/error",
        published="CIFAR-10, PreAct ResNet-18, 200 epochs: 5.6% without, 4.2% with mixup",
        source="Zhang et al. 2018, Fig. 3",
    )
    config.claims = ConfigDict({"mixup_helps": claim})
    return config


def few_digits(config):
    """Train on 200 digits, and count errors on the 1,237 that are held out: more than the 360 of the test split."""
    config.data.validation_examples = 1_237
    config.data.normalize = "standardize"
    config.train.batch_size = 50
    config.train.log_every = 50
    config.train.evaluate_every = 100
    config.train.checkpoint_every = 500
    config.figure.error_limit = 20.0
