"""A deep LSTM translates better when it reads its source back to front.

Sutskever, Vinyals and Le 2014, "Sequence to sequence learning with neural networks", section 3.3: the first words of
the source then stand next to the first of the target, which is a short way for gradients to begin with.

    launch.py run source_reversal              a language that is made, of adjectives that move behind their nouns
    launch.py run source_reversal:multi30k --config.data.data_dir=DIR      English to German: descriptions of images
    launch.py run source_reversal:augmentation      few pairs, and some of their sentences as pairs with themselves

    launch.py translate runs/source_reversal/reversed/seed-0 "a1 n2 n3 a4 n5 a6 n7 n8"

DIR holds train.en, train.de, val.en and so on, from data/task1/raw of github.com/multi30k/dataset.
"""

from ml_collections import ConfigDict

from canon import config as canon_config
from canon.errors import UserError

ARGUMENTS = ("phrases", "multi30k", "augmentation")


def get_config(argument="phrases"):
    if argument not in ARGUMENTS:
        raise UserError(f"no argument {argument!r}; there are {', '.join(ARGUMENTS)}")
    config = canon_config.default()
    config.title = "Does a deep LSTM translate better when it reads the source back to front?"
    config.paper = "Sutskever et al. 2014, Sequence to sequence learning with neural networks, section 3.3"
    config.arguments = ARGUMENTS
    config.task = "translation"
    config.optimizer.update(name="adam", clip_norm=5.0)
    config.train.evaluation_batch_size = 250
    config.figure.metric = "perplexity"
    config.deviations = (
        "Two layers in place of four, of fewer units, by Adam in place of gradient descent.",
        "Answers are decoded greedily, in place of a beam of 2 or 12.",
    )
    if argument == "multi30k":
        config.cost = "an hour and a half on two CPU cores"
        config.deviations += ("English to German, of 29,000 sentences about images, in place of 12 million to French.",)
        config.data.source = "parallel_files"
        config.data.validation_split, config.data.test_split = "val", "test_2016_flickr"
        config.data.least_count = 2
        config.model.update(name="seq2seq", features=128, embedding=128, dropout_rate=0.2)
        config.schedule.update(name="cosine", learning_rate=0.002)
        config.train.batch_size = 64
        config.train.steps = 3_000
        config.train.log_every = 100
        config.train.evaluate_every = 500
        config.train.checkpoint_every = 500
    else:
        config.cost = "4 minutes on two CPU cores"
        config.deviations += ("A language of twenty words that is made: sentences of 8 to 16 words.",)
        config.data.source = "phrases"
        config.data.length = 16
        config.data.examples = 500
        config.data.training_pairs = 2_000
        config.data.validation_split = "validation"
        config.seeds = 5
        config.model.update(name="seq2seq", features=64, embedding=32)
        config.schedule.update(name="cosine", learning_rate=0.01)
        config.train.batch_size = 64
        config.train.steps = 1_000
        config.train.log_every = 25
        config.train.evaluate_every = 250
        config.train.checkpoint_every = 250
    return _augmentation(config) if argument == "augmentation" else _reversal(config)


def _reversal(config):
    config.arms = ConfigDict({"forward": {}, "reversed": {"data": {"reverse_source": True}}})
    section = "Sutskever et al. 2014, section 3.3"
    config.claims = ConfigDict(
        {
            "perplexity": canon_config.claim(
                statement="Read forward, the perplexity is higher than read back to front.",
                higher="forward",
                lower="reversed",
                metric="test/perplexity",
                published="5.8 against 4.7, WMT'14 English to French",
                source=section,
            ),
            "bleu": canon_config.claim(
                statement="Read back to front, BLEU is higher than read forward.",
                higher="reversed",
                lower="forward",
                metric="test/bleu",
                published="30.6 against 25.9",
                source=section,
            ),
        }
    )
    return config


def _augmentation(config):
    config.title = "Do sentences as pairs with themselves help where there are few pairs?"
    config.paper = "Currey et al. 2017, Copied monolingual data improves low-resource neural machine translation"
    config.deviations = (
        "What is added are targets of the pairs themselves, where the paper has others.",
        "Encoder and decoder without attention, trained by Adam; answers are decoded greedily.",
        "A language of twenty words that is made: sentences of 8 to 16 words, read back to front.",
    )
    config.data.reverse_source = True
    config.data.training_pairs = 1_000
    config.arms = ConfigDict(
        {
            "pairs": {},
            "copied": {"data": {"copied_targets": 0.5}},
            "autoencoded": {"data": {"autoencoded_sources": 0.5}},
        }
    )
    config.claims = ConfigDict(
        {
            "copied_targets": canon_config.claim(
                statement="Half of the targets once more, as their own sources, raise BLEU.",
                higher="copied",
                lower="pairs",
                metric="test/bleu",
                published="up to 1.2 more, with targets beyond those of the pairs",
                source="Currey et al. 2017, abstract",
            ),
        }
    )
    return config
