"""A long short-term memory learns a text better than a plain recurrent network of as many parameters.

Karpathy, Johnson and Li 2016, "Visualizing and understanding recurrent networks", table 2: characters of War and Peace
and of the Linux kernel's source.

    launch.py run char_rnn                        a million characters of Python's own source, which you have
    launch.py run char_rnn:shakespeare            tiny Shakespeare, through TensorFlow Datasets
    launch.py run char_rnn --config.data.text=FILE --workdir=runs/mine      any text in UTF-8

    launch.py sample runs/char_rnn/lstm/seed-0 --prompt "def "
    launch.py cells runs/char_rnn/lstm/seed-0
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("python", "shakespeare")


def get_config(argument="python"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does an LSTM learn a text better than a plain recurrent network of its size?"
    config.paper = "Karpathy et al. 2016, Visualizing and understanding recurrent networks, Table 2"
    config.arguments = ARGUMENTS
    config.deviations = (
        "The texts are others, and training is shorter: about two passes through the text.",
        "Adam in place of RMSprop.",
    )
    config.task = "language_model"
    config.model.update(name="char_rnn", layers=2)
    config.optimizer.update(name="adam", clip_norm=5.0)
    config.schedule.update(name="cosine", learning_rate=0.005)
    config.data.validation_split = "validation"
    config.data.chunk = 50
    config.train.batch_size = 50
    config.train.evaluation_batch_size = 50
    config.figure.metric = "bits_per_character"
    if argument == "shakespeare":
        config.cost = "10 minutes on two CPU cores"
        config.data.source = "tiny_shakespeare"
    else:
        config.cost = "8 minutes on two CPU cores"
        config.data.source = "python_source"
    config.train.steps = 800
    config.train.log_every = 25
    config.train.evaluate_every = 200
    config.train.checkpoint_every = 400
    # As many parameters on Python's source, to half a percent: a layer of the LSTM has four times as many for each
    # pair of units.
    config.arms = ConfigDict(
        {
            "lstm": {"model": {"cell": "lstm", "features": 128}},
            "gru": {"model": {"cell": "gru", "features": 149}},
            "rnn": {"model": {"cell": "rnn", "features": 263}},
        }
    )
    table = "Karpathy et al. 2016, Table 2: cross-entropy on the test text, in nats"
    config.claims = ConfigDict(
        {
            "gates_help": canon_config.claim(
                statement="A plain recurrent network needs more bits for a character than an LSTM.",
                higher="rnn",
                lower="lstm",
                metric="test/bits_per_character",
                published="the ordering, at every size: LSTM and GRU below the plain network",
                source=table,
            ),
        }
    )
    return config
