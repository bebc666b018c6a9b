"""Leaving out half of the hidden units at random in training lowers the test error.

Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, "Dropout: a simple way to prevent neural networks from
overfitting", table 2.

    launch.py run dropout              200 of scikit-learn's digits to train on, and 1,237 to test
    launch.py run dropout:mnist        three layers of 1,024 rectifiers, with and without dropout and max-norm
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("digits", "mnist")


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does dropout lower the test error?"
    config.paper = "Srivastava et al. 2014, Dropout, Table 2"
    config.arguments = ARGUMENTS
    config.deviations = ("The paper gives neither its learning rates nor its number of steps; both are ours.",)
    config.optimizer.update(name="momentum", momentum=0.9)
    config.data.source = argument
    if argument == "mnist":
        config.cost = "an hour and a half on two CPU cores"
        config.model.update(name="mlp", hidden=(1024, 1024, 1024))
        config.data.normalize = "none"
        config.schedule.update(name="cosine", learning_rate=0.05)
        config.train.batch_size = 128
        config.train.steps = 28_000  # 60 epochs
        config.train.log_every = 200
        config.train.evaluate_every = 2_000
        config.train.checkpoint_every = 2_000
        config.figure.error_limit = 5.0
    else:
        config.cost = "a minute on two CPU cores"
        config.deviations = (*config.deviations, "Images are 8×8; 200 of them are seen; two layers of 512 units.")
        config.seeds = 5
        config.model.update(name="mlp", hidden=(512, 512))
        config.data.normalize = "standardize"
        config.data.validation_examples = 1_237
        config.schedule.update(name="cosine", learning_rate=0.05)
        config.train.batch_size = 50
        config.train.steps = 1_500
        config.train.log_every = 50
        config.train.evaluate_every = 150
        config.train.checkpoint_every = 750
        config.figure.error_limit = 20.0
    rates = {"dropout_rate": 0.5, "input_dropout_rate": 0.2}
    config.arms = ConfigDict(
        {
            "plain": {},
            "dropout": {"model": rates},
            "dropout-max-norm": {"model": rates, "optimizer": {"max_norm": 3.0}},
        }
    )
    metric = "test/error" if argument == "mnist" else "validation/error"
    config.claims = ConfigDict(
        {
            "dropout_helps": canon_config.claim(
                statement="Without dropout a network errs more on new digits.",
                higher="plain",
                lower="dropout",
                metric=metric,
                published="MNIST: 1.60% without (logistic units), 1.25% with dropout (3 × 1,024 rectifiers)",
                source="Srivastava et al. 2014, Table 2",
            ),
            "max_norm_does_no_harm": canon_config.claim(
                statement="A bound on the norms of the weights besides does not make it worse by half a point.",
                higher="dropout",
                lower="dropout-max-norm",
                metric=metric,
                tolerance=0.005,
                published="MNIST: 1.25% without the bound, 1.06% with it",
                source="Srivastava et al. 2014, Table 2",
            ),
        }
    )
    return config
