"""Clipping the gradient's norm lets plain gradient descent train a recurrent network over long sequences.

Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", section 4.1: the temporal
order problem, by stochastic gradient descent with and without clipping.

    launch.py run gradient_clipping                  temporal order, 50 symbols
    launch.py run gradient_clipping:characters       a plain recurrent network on Python's source
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("temporal_order", "characters")


def get_config(argument="temporal_order"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does clipping the gradient's norm let a recurrent network learn?"
    config.paper = "Pascanu et al. 2013, On the difficulty of training recurrent neural networks, section 4"
    config.arguments = ARGUMENTS
    config.seeds = 5
    config.optimizer.update(name="momentum", momentum=0.0)
    if argument == "characters":
        config.cost = "6 minutes on two CPU cores"
        config.deviations = ("The paper's text is the Penn Treebank, and its network has 500 units.",)
        config.task = "language_model"
        config.model.update(name="char_rnn", cell="rnn", features=200, layers=1)
        config.data.source = "python_source"
        config.data.validation_split = "validation"
        config.schedule.update(name="constant", learning_rate=1.0)
        config.train.batch_size = 50
        config.train.evaluation_batch_size = 50
        config.train.steps = 800
        config.figure.metric = "bits_per_character"
        metric, published = "test/bits_per_character", "Penn Treebank: 1.50 bits without, 1.42 with clipping"
        source = "Pascanu et al. 2013, Table 1"
    else:
        config.cost = "a minute on two CPU cores"
        config.deviations = ("One length, 50, where the paper has 50 to 200; its networks begin in three other ways.",)
        config.task = "sequence_classification"
        config.model.update(name="sequence_classifier", cell="rnn", features=50)
        config.data.source = "temporal_order"
        config.data.length = 50
        config.schedule.update(name="constant", learning_rate=0.1)
        config.train.batch_size = 20
        config.train.steps = 5_000
        metric, published = "test/error", "at length 50 and more, clipping and a regulariser: solved by 5 of 5 seeds"
        source = "Pascanu et al. 2013, section 4.1 and Fig. 7"
    config.train.log_every = 25
    config.train.evaluate_every = config.train.steps // 4
    config.train.checkpoint_every = config.train.steps // 2
    config.arms = ConfigDict({"plain": {}, "clipped": {"optimizer": {"clip_norm": 1.0}}})
    config.claims = ConfigDict(
        {
            "clipping_helps": canon_config.claim(
                statement="Without clipping the network does worse at the same learning rate.",
                higher="plain",
                lower="clipped",
                metric=metric,
                published=published,
                source=source,
            )
        }
    )
    return config
