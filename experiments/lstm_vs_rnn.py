"""A long short-term memory recalls across gaps that a plain recurrent network does not learn to bridge.

Hochreiter and Schmidhuber 1997, "Long short-term memory", section 5.2 (task 2a): the first symbol of a sequence has to
be told after others that mean nothing.

    launch.py run lstm_vs_rnn                  delayed recall over 10 and 100 symbols
    launch.py run lstm_vs_rnn:temporal_order   which of two symbols came first, in 100 (task 6a there)
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("delayed_recall", "temporal_order")
SHORT, LONG = 10, 100


def get_config(argument="delayed_recall"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does an LSTM remember for longer than a plain recurrent network?"
    config.paper = "Hochreiter and Schmidhuber 1997, Long short-term memory, section 5"
    config.cost = "2 minutes on two CPU cores"
    config.arguments = ARGUMENTS
    config.seeds = 5
    config.deviations = (
        "The LSTM has forget gates; their biases begin at 5: at first it forgets nothing, as the paper's never does.",
        "Both learn by Adam, from gradients through all steps, and recurrent weights begin as orthogonal matrices.",
        "Four symbols to tell apart, and noise that differs from sequence to sequence.",
    )
    config.task = "sequence_classification"
    config.model.update(name="sequence_classifier", features=32, forget_bias=5.0)
    config.optimizer.update(name="adam", clip_norm=1.0)
    config.schedule.update(name="constant", learning_rate=0.003)
    config.data.source = argument
    config.train.batch_size = 32
    config.train.steps = 1_500
    config.train.log_every = 25
    config.train.evaluate_every = 250
    config.train.checkpoint_every = 500
    config.arms = ConfigDict(
        {
            f"{cell}-{length}": {"model": {"cell": cell}, "data": {"length": length}}
            for length in (SHORT, LONG)
            for cell in ("rnn", "lstm")
        }
    )
    config.figure.panels = tuple((f"rnn-{length}", f"lstm-{length}") for length in (SHORT, LONG))
    config.claims = ConfigDict(
        {
            "lstm_remembers": canon_config.claim(
                statement=f"Over {LONG} symbols a plain recurrent network errs more than an LSTM.",
                higher=f"rnn-{LONG}",
                lower=f"lstm-{LONG}",
                metric="test/error",
                published="the ordering: LSTM has many more successful runs, and bridges lags above 1,000 steps",
                source="Hochreiter and Schmidhuber 1997, abstract",
            ),
            "rnn_forgets": canon_config.claim(
                statement=f"A plain recurrent network errs more over {LONG} symbols than over {SHORT}.",
                higher=f"rnn-{LONG}",
                lower=f"rnn-{SHORT}",
                metric="test/error",
                published="its error signal decays with the lag, so that learning takes very long; no number",
                source="Hochreiter and Schmidhuber 1997, abstract and section 3",
            ),
        }
    )
    return config
