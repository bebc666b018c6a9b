"""How far gradients have to go back, and what it is worth to hand the carry on.

Williams and Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent network trajectories":
back-propagation through time is cut off after so many steps; what the network carries goes on.

    launch.py run truncated_bptt                    chunks of 5, 20 and 50 characters of Python's source
    launch.py run truncated_bptt:shakespeare        the same on tiny Shakespeare
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("python", "shakespeare")
CHARACTERS = 2_000  # of a step, in all, so that every arm has seen as much text after as many steps


def get_config(argument="python"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "How far do gradients have to go back through a text?"
    config.paper = "Williams and Peng 1990, An efficient gradient-based algorithm for on-line training"
    config.cost = "9 minutes on two CPU cores"
    config.arguments = ARGUMENTS
    config.deviations = (
        "The paper's tasks are small machines to imitate; here it is a text, and the network an LSTM.",
    )
    config.task = "language_model"
    config.model.update(name="char_rnn", cell="lstm", features=128, layers=1)
    config.optimizer.update(name="adam", clip_norm=5.0)
    config.schedule.update(name="cosine", learning_rate=0.005)
    config.data.source = "tiny_shakespeare" if argument == "shakespeare" else "python_source"
    config.data.validation_split = "validation"
    config.train.evaluation_batch_size = 50
    config.train.steps = 800
    config.train.log_every = 25
    config.train.evaluate_every = 200
    config.train.checkpoint_every = 400
    config.figure.metric = "bits_per_character"
    windows = {f"chunk-{n}": {"data": {"chunk": n}, "train": {"batch_size": CHARACTERS // n}} for n in (5, 20, 50)}
    alone = {"data": {"chunk": 5, "hand_on_carry": False}, "train": {"batch_size": CHARACTERS // 5}}
    config.arms = ConfigDict(windows | {"chunk-5-alone": alone})
    source = "Williams and Peng 1990"
    config.claims = ConfigDict(
        {
            "further_back_is_better": canon_config.claim(
                statement="With gradients through 5 characters the network needs more bits than with 50.",
                higher="chunk-5",
                lower="chunk-50",
                metric="test/bits_per_character",
                published="a window has to be long enough for the task; no number for texts",
                source=source,
            ),
            "handing_on_helps": canon_config.claim(
                statement="Where each chunk of 5 begins from nothing, in evaluations too, it needs more bits.",
                higher="chunk-5-alone",
                lower="chunk-5",
                metric="test/bits_per_character",
                published="what is carried reaches back further than the gradient does; no number",
                source=source,
            ),
        }
    )
    return config
