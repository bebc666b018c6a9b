"""What is to be said of a moment may depend on what comes after it: a network that reads both ways errs less.

Graves and Schmidhuber 2005, "Framewise phoneme classification with bidirectional LSTM and other neural network
architectures"; Schuster and Paliwal 1997, "Bidirectional recurrent neural networks".

    launch.py run bidirectional      of each symbol, which marker came last, and which will come next
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("between_markers",)


def get_config(argument="between_markers"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does a network that reads both ways tag a sequence better?"
    config.paper = "Graves and Schmidhuber 2005, Framewise phoneme classification with bidirectional LSTM"
    config.cost = "2 minutes on two CPU cores"
    config.arguments = ARGUMENTS
    config.deviations = (
        "Symbols that are made, in place of the phonemes of TIMIT; what comes next says half of a label.",
        "Adam in place of gradient descent with momentum.",
    )
    config.task = "tagging"
    config.model.update(name="tagger", features=32, bidirectional=True)
    config.optimizer.update(name="adam", clip_norm=1.0)
    config.schedule.update(name="constant", learning_rate=0.005)
    config.data.source = argument
    config.data.length = 80
    config.data.examples = 1_000
    config.train.batch_size = 32
    config.train.steps = 600
    config.train.log_every = 20
    config.train.evaluate_every = 150
    config.train.checkpoint_every = 300
    # As many parameters in one direction as in two, to two percent.
    sizes = {"lstm": {"one": 47, "both": 32}, "rnn": {"one": 99, "both": 69}}
    config.arms = ConfigDict(
        {
            f"{cell}-{ways}": {"model": {"cell": cell, "features": features, "bidirectional": ways == "both"}}
            for cell, of_cell in sizes.items()
            for ways, features in of_cell.items()
        }
    )
    config.figure.panels = tuple((f"{cell}-one", f"{cell}-both") for cell in sizes)
    config.claims = ConfigDict(
        {
            cell: canon_config.claim(
                statement=f"{name} that reads forward alone errs more than one that reads both ways.",
                higher=f"{cell}-one",
                lower=f"{cell}-both",
                metric="test/error",
                published="the ordering, on framewise classification of TIMIT's phonemes",
                source="Graves and Schmidhuber 2005, abstract",
            )
            for cell, name in (("lstm", "An LSTM"), ("rnn", "A plain recurrent network"))
        }
    )
    return config
