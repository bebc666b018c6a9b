"""An image needs to be shown to a network that writes about it once.

Vinyals, Toshev, Bengio and Erhan 2015, "Show and tell: a neural image caption generator", section 3.1: shown at every
step, the network fits noise in the image more easily, and errs more.

    launch.py run image_to_sequence              the names of handwritten digits, letter by letter
    launch.py run image_to_sequence:mnist        those of MNIST's
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("digits", "mnist")


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Is it enough to show a network once the image that it writes about?"
    config.paper = "Vinyals et al. 2015, Show and tell: a neural image caption generator, section 3.1"
    config.arguments = ARGUMENTS
    config.seeds = 5
    config.deviations = (
        "Captions are the names of digits, letter by letter, in place of sentences about photographs.",
        "A hidden layer of rectifiers sees the image, in place of a deep convolutional network.",
    )
    config.task = "captioning"
    config.model.update(name="image_to_sequence", features=64, dropout_rate=0.2)
    config.optimizer.update(name="adam", clip_norm=5.0)
    config.schedule.update(name="cosine", learning_rate=0.003)
    config.data.source = argument
    config.figure.metric = "sequence_error"
    config.train.batch_size = 64
    if argument == "mnist":
        config.cost = "minutes on two CPU cores (not measured)"
        config.train.steps = 4_000
    else:
        config.cost = "a minute on two CPU cores"
        config.train.steps = 600
    config.train.log_every = config.train.steps // 40
    config.train.evaluate_every = config.train.steps // 4
    config.train.checkpoint_every = config.train.steps // 2
    config.arms = ConfigDict({seen: {"model": {"seen": seen}} for seen in ("first", "every", "never")})
    config.claims = ConfigDict(
        {
            "once": canon_config.claim(
                statement="Shown with every letter, the image does not lower the share of names that are wrong.",
                higher="every",
                lower="first",
                metric="test/sequence_error",
                tolerance=0.01,
                published="inferior results, no number",
                source="Vinyals et al. 2015, section 3.1",
            ),
            "image": canon_config.claim(
                statement="A network that is never shown the image errs more.",
                higher="never",
                lower="first",
                metric="test/sequence_error",
                published="not in the paper: it shows that the image is what is written about",
                source="nine in ten names are wrong of one that guesses among ten",
            ),
        }
    )
    return config
