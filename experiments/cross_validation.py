"""Learning rate and weight decay by five-fold cross-validation, and the test error once, after training on all folds.

Each arm chooses for itself, so that a comparison of networks is none of how well they were tuned. The claim is that of
LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition", figure 9.

    launch.py run cross_validation            1,797 digits of 8×8 pixels, which come with scikit-learn
    launch.py run cross_validation:mnist
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon import sweep
from canon.errors import UserError

ARGUMENTS = ("digits", "mnist")


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does a hidden layer help, when cross-validation chooses rate and decay for each network?"
    config.paper = "LeCun et al. 1998, Gradient-based learning applied to document recognition, Fig. 9"
    config.arguments = ARGUMENTS
    config.deviations = ("The paper's networks have other losses, and learning rates of its own.",)
    config.optimizer.update(name="momentum", momentum=0.9)
    config.schedule.name = "cosine"
    config.data.source = argument
    config.data.normalize = "standardize"
    if argument == "mnist":
        config.cost = "an hour on two CPU cores"
        config.train.batch_size = 128
        config.train.steps = 4_700  # 10 epochs of all, 12 of four folds
        config.train.log_every = 100
        config.train.evaluate_every = 4_700
        config.train.checkpoint_every = 4_700
        config.figure.error_limit = 15.0
    else:
        config.cost = "a minute and a half on two CPU cores"
        config.seeds = 5
        config.deviations = (*config.deviations, "Images are 8×8.")
        config.train.batch_size = 64
        config.train.steps = 300
        config.train.log_every = 25
        config.train.evaluate_every = 100
        config.train.checkpoint_every = 300
        config.figure.error_limit = 20.0
    config.selection.folds = 5
    grid = {"schedule.learning_rate": (0.003, 0.03, 0.3), "optimizer.weight_decay": (0.0, 1e-3)}
    config.candidates = ConfigDict(sweep.grid(grid))
    config.arms = ConfigDict({"linear": {"model": {"hidden": ()}}, "hidden-300": {"model": {"hidden": (300,)}}})
    config.model.name = "mlp"
    claim = canon_config.claim(
        statement="A linear classifier errs more on new digits than a network with a hidden layer of 300 units.",
        higher="linear",
        lower="hidden-300",
        metric="test/error",
        published="MNIST: linear 12.0%, 300 hidden units 4.7%",
        source="LeCun et al. 1998, Fig. 9",
    )
    config.claims = ConfigDict({"a_hidden_layer_helps": claim})
    return config
