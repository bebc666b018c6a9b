"""Recurrent layers on each other learn a text better than one of them alone.

Karpathy, Johnson and Li 2016, "Visualizing and understanding recurrent networks", section 4.1; Graves, Mohamed and
Hinton 2013, "Speech recognition with deep recurrent neural networks", section 3.

    launch.py run deep_rnn                    one, two and three layers of 96 LSTM units on Python's source
    launch.py run deep_rnn:shakespeare        the same on tiny Shakespeare
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("python", "shakespeare")


def get_config(argument="python"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Do recurrent layers on each other learn a text better than one?"
    config.paper = "Karpathy et al. 2016, Visualizing and understanding recurrent networks, section 4.1"
    config.cost = "8 minutes on two CPU cores"
    config.arguments = ARGUMENTS
    config.deviations = (
        "The texts are others, and training is shorter: two passes through the text.",
        "Adam in place of RMSprop.",
    )
    config.task = "language_model"
    config.model.update(name="char_rnn", cell="lstm", features=96)
    config.optimizer.update(name="adam", clip_norm=5.0)
    config.schedule.update(name="cosine", learning_rate=0.005)
    config.data.source = "tiny_shakespeare" if argument == "shakespeare" else "python_source"
    config.data.validation_split = "validation"
    config.train.batch_size = 50
    config.train.evaluation_batch_size = 50
    config.train.steps = 800
    config.train.log_every = 25
    config.train.evaluate_every = 200
    config.train.checkpoint_every = 400
    config.figure.metric = "bits_per_character"
    config.arms = ConfigDict({f"layers-{n}": {"model": {"layers": n}} for n in (1, 2, 3)})
    ordering = "the ordering: networks of two or three layers are better than those of one"
    config.claims = ConfigDict(
        {
            f"{word}_layers_help": canon_config.claim(
                statement=f"One layer needs more bits for a character than {word}.",
                higher="layers-1",
                lower=f"layers-{n}",
                metric="test/bits_per_character",
                published=ordering,
                source="Karpathy et al. 2016, section 4.1",
            )
            for n, word in ((2, "two"), (3, "three"))
        }
    )
    return config
