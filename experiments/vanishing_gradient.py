"""Through sigmoids the gradient vanishes with depth; through rectifiers it does not, and deep networks learn.

Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", section 3; Glorot,
Bordes and Bengio 2011, "Deep sparse rectifier neural networks". The gradient's norm in each layer, and the shares of
saturated and dead units, are recorded in metrics.jsonl.

    launch.py run vanishing_gradient            1,797 digits of 8×8 pixels, which come with scikit-learn
    launch.py run vanishing_gradient:mnist
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("digits", "mnist")
WIDTH, SHALLOW, DEEP = 64, 2, 8


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does the gradient vanish with depth, and does it do so less through rectifiers?"
    config.paper = "Glorot and Bengio 2010, Understanding the difficulty of training deep networks, section 3"
    config.arguments = ARGUMENTS
    config.deviations = (
        "The paper's networks have 1,000 units a layer and at most five layers, and see Shapeset, MNIST and CIFAR-10.",
        "Weights begin as N(0, 1 / fan_in), under rectifiers N(0, 2 / fan_in), and all train at one rate.",
    )
    config.optimizer.update(name="momentum", momentum=0.9)
    config.schedule.update(name="constant", learning_rate=0.01)
    config.data.source = argument
    config.data.normalize = "standardize"
    config.train.watch = "activity,gradients"
    if argument == "mnist":
        config.cost = "10 minutes on two CPU cores"
        config.train.batch_size = 128
        config.train.steps = 4_000
        config.train.log_every = 50
        config.train.evaluate_every = 500
        config.train.checkpoint_every = 2_000
    else:
        config.cost = "a minute and a half on two CPU cores"
        config.train.batch_size = 64
        config.train.steps = 600
        config.train.log_every = 10
        config.train.evaluate_every = 50
        config.train.checkpoint_every = 300
    kinds = [(kind, depth) for kind in ("sigmoid", "tanh", "relu") for depth in (SHALLOW, DEEP)]
    config.arms = ConfigDict(
        {f"{kind}-{depth}": {"model": {"activation": kind, "hidden": (WIDTH,) * depth}} for kind, depth in kinds}
    )
    config.model.name = "mlp"
    config.figure.panels = tuple(tuple(f"{kind}-{d}" for kind in ("sigmoid", "tanh", "relu")) for d in (SHALLOW, DEEP))
    config.claims = ConfigDict(claims())
    return config


def claims():
    first_layer = "first/gradient_norm/hidden1"
    saturate = "Glorot and Bengio 2010, section 3.1 and figure 2"
    deep = f"sigmoid-{DEEP}"
    return {
        "vanishes_with_depth": canon_config.claim(
            statement=f"At the start the first layer's gradient is smaller in {DEEP} sigmoid layers than in {SHALLOW}.",
            higher=f"sigmoid-{SHALLOW}",
            lower=deep,
            metric=first_layer,
            ratio=True,
            published="sigmoid networks with four hidden layers or more stay on a plateau; no number",
            source=saturate,
        ),
        "not_through_rectifiers": canon_config.claim(
            statement=f"Below {DEEP} layers of rectifiers it is larger than below {DEEP} of sigmoids.",
            higher=f"relu-{DEEP}",
            lower=deep,
            metric=first_layer,
            ratio=True,
            published="gradients flow well on the active paths of rectifiers; no number",
            source="Glorot et al. 2011, section 3.1",
        ),
        "deep_sigmoids_do_not_learn": canon_config.claim(
            statement=f"After as many steps, {DEEP} layers of sigmoids have a higher training error than {SHALLOW}.",
            higher=deep,
            lower=f"sigmoid-{SHALLOW}",
            published="sigmoid networks of depth five could not be trained at all; no number",
            source="Glorot and Bengio 2010, section 3.1 and table 1",
        ),
        "deep_rectifiers_learn": canon_config.claim(
            statement=f"{DEEP} layers of sigmoids have a higher training error than {DEEP} of rectifiers.",
            higher=deep,
            lower=f"relu-{DEEP}",
            published="rectifiers train deep networks without pre-training: MNIST test error 1.43%, tanh 1.57%",
            source="Glorot et al. 2011, table 1",
        ),
    }
