"""What fits through a narrow code: of images, and of sequences.

    launch.py run autoencoder              digits through a code of 8 numbers: a deep network against a linear one
    launch.py run autoencoder:mnist        MNIST through one of 30, with the paper's layers
    launch.py run autoencoder:sequence     sequences of 4 to 8 and of 10 to 20 words through the same memory

Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks": a linear autoencoder is
principal component analysis (Baldi and Hornik 1989). Cho et al. 2014, "On the properties of neural machine translation:
encoder-decoder approaches": a memory of one size holds long sequences less well.
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("digits", "mnist", "sequence")


def get_config(argument="digits"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.arguments = ARGUMENTS
    config.optimizer.update(name="adam", clip_norm=5.0)
    config.schedule.update(name="cosine", learning_rate=0.002)
    return _sequence(config) if argument == "sequence" else _images(config, argument)


def _images(config, source):
    config.title = "Does a deep autoencoder give images back better than principal components?"
    config.paper = "Hinton and Salakhutdinov 2006, Reducing the dimensionality of data with neural networks"
    config.task = "reconstruction"
    config.loss.update(name="squared_error")
    config.data.source = source
    config.deviations = (
        "Rectifiers, by Adam from the weights of He et al. 2015, in place of sigmoids pretrained layer by layer.",
    )
    if source == "mnist":
        config.cost = "minutes on two CPU cores (not measured)"
        config.model.update(name="autoencoder")
        config.train.steps = 4_000
    else:
        config.cost = "half a minute on two CPU cores"
        config.model.update(name="autoencoder", code=8, hidden=(128, 64))
        config.train.steps = 2_000
    config.train.log_every = config.train.steps // 40
    config.train.evaluate_every = config.train.steps // 8
    config.train.checkpoint_every = config.train.steps // 2
    config.arms = ConfigDict({"linear": {"model": {"hidden": ()}}, "deep": {}})
    config.claims = ConfigDict(
        {
            "depth": canon_config.claim(
                statement="A linear autoencoder misses a larger share of an image than a deep one.",
                higher="linear",
                lower="deep",
                metric="test/error",
                published="the ordering: codes that work much better than principal components",
                source="Hinton and Salakhutdinov 2006, abstract",
            )
        }
    )
    return config


def _sequence(config):
    config.title = "Does a memory of one size hold long sequences less well than short ones?"
    config.paper = "Cho et al. 2014, On the properties of neural machine translation, Figure 4"
    config.cost = "2 minutes on two CPU cores"
    config.task = "translation"
    config.deviations = ("Sequences that are made, and given back as they are, in place of sentences to translate.",)
    config.model.update(name="seq2seq", layers=1, features=64, embedding=32)
    config.schedule.update(name="cosine", learning_rate=0.005)
    config.data.source = "copy"
    config.data.examples = 500
    config.data.bucket = 21
    config.figure.metric = "error"
    config.train.batch_size = 64
    config.train.steps = 1_500
    config.train.log_every = 50
    config.train.evaluate_every = 500
    config.train.checkpoint_every = 500
    config.arms = ConfigDict({"short": {"data": {"length": 8}}, "long": {"data": {"length": 20}}})
    config.claims = ConfigDict(
        {
            "length": canon_config.claim(
                statement="Of sequences of 10 to 20 words a larger share of words is wrong than of those of 4 to 8.",
                higher="long",
                lower="short",
                metric="test/error",
                published="BLEU falls as sentences become longer",
                source="Cho et al. 2014, On the properties of neural machine translation, Figure 4",
            )
        }
    )
    return config
