"""Squared error on a softmax learns slowly where the network is confidently wrong; cross-entropy and hinge do not.

Golik, Doetsch and Ney 2013, "Cross-entropy vs. squared error training: a theoretical and experimental comparison";
Nielsen 2015, "Neural networks and deep learning", chapter 3. The networks begin with weights that are too large, and so
with guesses that they are sure of; each loss has the learning rate that suits it best.

    launch.py run loss_functions            1,797 digits of 8×8 pixels, which come with scikit-learn
    launch.py run loss_functions:mnist
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon import sweep
from canon.errors import UserError

ARGUMENTS = ("digits", "mnist")
LOSSES = {
    "cross-entropy": "softmax_cross_entropy",
    "hinge": "multiclass_hinge",
    "squared-error": "softmax_squared_error",
}


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does squared error on a softmax learn slowly where a network is confidently wrong?"
    config.paper = "Golik et al. 2013, Cross-entropy vs. squared error training, section 5.2"
    config.arguments = ARGUMENTS
    config.deviations = ("The paper trains on speech and on RIMES words; it begins with random weights, and so here.",)
    config.model.update(name="mlp", hidden=(100,), initial_scale=4.0)
    config.optimizer.update(name="momentum", momentum=0.0)
    config.schedule.name = "constant"
    config.data.source = argument
    config.data.normalize = "standardize"
    config.selection.metric = "steps_to_target"
    config.train.target_error = 0.1
    config.train.stop_at_target = True
    if argument == "mnist":
        config.cost = "20 minutes on two CPU cores"
        config.train.batch_size = 128
        config.train.steps = 5_000
        config.train.log_every = 20
        config.train.evaluate_every = 500
        config.train.checkpoint_every = 2_500
    else:
        config.cost = "a minute on two CPU cores"
        config.train.batch_size = 64
        config.train.steps = 1_500
        config.train.log_every = 10
        config.train.evaluate_every = 50
        config.train.checkpoint_every = 500
    config.candidates = ConfigDict(sweep.grid({"schedule.learning_rate": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)}))
    config.arms = ConfigDict({arm: {"loss": {"name": name}} for arm, name in LOSSES.items()})
    config.claims = ConfigDict({f"{arm}_is_faster": claim(arm) for arm in ("cross-entropy", "hinge")})
    return config


def claim(arm):
    return canon_config.claim(
        statement=f"From confidently wrong guesses, squared error needs more steps than {arm} to come to 10%.",
        higher="squared-error",
        lower=arm,
        metric="steps_to_target",
        ratio=True,
        published="from random weights squared error does not converge to a good solution; cross-entropy does",
        source="Golik et al. 2013, section 5.2",
    )
