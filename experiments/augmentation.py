"""Distorting training images lowers the test error, and several distortions together lower it further.

Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks applied to visual document
analysis", table 1; Krizhevsky et al. 2012, section 4.1. `launch.py augment augmentation` shows each kind.

    launch.py run augmentation                200 of scikit-learn's digits to train on, and 1,237 to test
    launch.py run augmentation:cifar10        ResNet-20, 20 epochs, and the distortions that suit photographs
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("digits", "cifar10")
KINDS = {
    "digits": {
        "shift": {"pad_crop": 1},
        "rotation": {"rotation": 15.0},
        "scale": {"scale": 0.15},
        "shear": {"shear": 0.2},
        "contrast": {"brightness": 0.2, "contrast": 0.4},
        "erase": {"erase": 0.5},
    },
    "cifar10": {
        "crop": {"pad_crop": 4},
        "flip": {"flip": True},
        "rotation": {"rotation": 15.0},
        "enlarge": {"scale_crop": 1.3},
        "contrast": {"brightness": 0.2, "contrast": 0.4},
        "colour": {"colour": 0.5},
        "lighting": {"lighting": 0.1},
        "erase": {"erase": 0.5},
        "mixup": {"mixup": 0.2},
    },
}
TOGETHER = {"digits": ("shift", "rotation", "scale", "shear"), "cifar10": ("crop", "flip", "colour")}


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Which distortions of training images lower the test error?"
    config.paper = "Simard et al. 2003, Best practices for convolutional neural networks, Table 1"
    config.arguments = ARGUMENTS
    config.optimizer.update(name="momentum", momentum=0.9, weight_decay=1e-4)
    config.data.source = argument
    config.data.normalize = "standardize"
    if argument == "cifar10":
        config.cost = "a day on two CPU cores, half an hour on a GPU"
        config.deviations = ("The paper distorts digits; on photographs the distortions are those of later papers.",)
        config.model.update(name="cifar_resnet", depth=20)
        config.schedule.update(name="cosine", learning_rate=0.1)
        config.train.batch_size = 128
        config.train.steps = 8_000
        config.train.log_every = 100
        config.train.evaluate_every = 1_000
        config.train.checkpoint_every = 1_000
        config.figure.error_limit = 60.0
    else:
        config.cost = "6 minutes on two CPU cores"
        config.seeds = 8  # they differ by a point: by as much as the distortions are worth
        config.deviations = (
            "The network is another; of the digits, of 8×8 pixels, 200 are seen. Elastic distortions are left out.",
        )
        config.model.name = "alexnet_fig1"
        config.data.validation_examples = 1_237
        config.schedule.update(name="cosine", learning_rate=0.05)
        config.train.batch_size = 50
        config.train.steps = 600
        config.train.log_every = 25
        config.train.evaluate_every = 100
        config.train.checkpoint_every = 300
        config.figure.error_limit = 20.0
    kinds, together = KINDS[argument], TOGETHER[argument]
    union = {field: value for kind in together for field, value in kinds[kind].items()}
    arms = {"none": {}} | {kind: {"augment": fields} for kind, fields in kinds.items()}
    config.arms = ConfigDict(arms | {"together": {"augment": union}})
    half = (len(kinds) + 1) // 2
    config.figure.panels = (
        ("none", *list(kinds)[:half], "together"),
        ("none", *list(kinds)[half:], "together"),
    )
    config.claims = ConfigDict(claims(argument, together))
    return config


def claims(argument, together):
    metric = "test/error" if argument == "cifar10" else "validation/error"
    published = "MNIST, 800 hidden units: 1.6% plain, 1.1% with affine distortions, 0.7% with elastic ones"
    source = "Simard et al. 2003, Table 1; LeCun et al. 1998, Fig. 9"
    first = together[0]
    return {
        "they_help": canon_config.claim(
            statement=f"Without distortions a network errs more on new images than with {', '.join(together)}.",
            higher="none",
            lower="together",
            metric=metric,
            published=published,
            source=source,
        ),
        "together_they_help_more": canon_config.claim(
            statement=f"With one of these kinds alone ({first}) it errs more than with all of them.",
            higher=first,
            lower="together",
            metric=metric,
            published=published,
            source=source,
        ),
    }
