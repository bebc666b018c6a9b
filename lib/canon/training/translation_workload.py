"""Pairs of sentences, the one to be made of the other: what the config's `data`, `model` and `loss` ask for."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict, FrozenConfigDict

from canon import losses, models
from canon.data import pair_pipeline, pairs
from canon.data.pair_pipeline import PairPipeline
from canon.data.pairs import Pairs
from canon.data.words import BOS, EOS, WordVocabulary
from canon.errors import UserError
from canon.generation import decoding
from canon.training import workload
from canon.training.perplexity import perplexity
from canon.training.sequence_to_sequence import SequenceToSequence
from canon.training.workload import Workload

WORST = {"bleu": 0.0}
"""What is measured of a split, and what it is of a network that predicts nothing: BLEU from 0 to 100."""

INPUTS = ("source", "length")
"""What of a batch the model is given besides the target."""

# What the section `data` has for pairs.
_FIELDS = (
    "source", "data_dir", "train_split", "validation_split", "test_split", "placement", "length", "examples",
    "source_language", "target_language", "reverse_source", "training_pairs", "copied_targets", "autoencoded_sources",
    "least_count", "longest", "bucket",
)  # fmt: skip


def create(config: ConfigDict, mesh: Mesh, watch_activity: bool) -> Workload:
    """The workload of an arm. It reads the sentences.

    Raises:
      UserError: something in the config does not exist or does not fit.
    """
    models.check_kind(config.model.name, "translation")
    workload.check_fields(config, _FIELDS, watch_activity, "pairs of sentences")
    if config.loss.name != "softmax_cross_entropy":
        raise UserError(f"of pairs of sentences the loss is softmax_cross_entropy, not {config.loss.name}")
    if config.train.beams < 1:
        raise UserError(f"train.beams must be at least 1, not {config.train.beams}")
    data = config.data
    read = _read(FrozenConfigDict({name: data[name] for name in _FIELDS}))
    source, target = _vocabularies(read["train"], data.least_count)
    model = models.create(**config.model, num_classes=len(target), num_source_classes=len(source))
    pipelines = {
        split: pair_pipeline.create(
            [source.encode(sentence) for sentence in of_split.sources],
            [target.encode(sentence) for sentence in of_split.targets],
            config.train.batch_size,
            data.bucket,
            data.reverse_source,
        )
        for split, of_split in read.items()
    }
    loss = losses.create(**config.loss, num_classes=len(target))

    def measure(variables: Any, split: str) -> dict[str, float]:
        answers = translate(
            model, variables, pipelines[split], config.train.evaluation_batch_size, target, config.train.beams
        )
        return {"bleu": bleu(answers, read[split].targets)}

    return Workload(
        task=SequenceToSequence(model, INPUTS, loss),
        pipelines=pipelines,
        preprocess=lambda batch, key: batch,
        vocabularies={"source": source.words, "target": target.words},
        checksums={split: of_split.checksum for split, of_split in read.items()},
        derive=perplexity,
        measure=measure,
        worst=WORST,
    )


@functools.lru_cache(maxsize=4)
def _read(data: FrozenConfigDict) -> dict[str, Pairs]:
    """Every split, that to train with augmented."""
    read = {name: _split(data, name, split) for name, split in workload.splits(data).items()}
    read["train"] = pairs.augment(read["train"], data.copied_targets, data.autoencoded_sources)
    return read


def _split(data: FrozenConfigDict, name: str, split: str) -> Pairs:
    if min(data.training_pairs, data.examples - 1) < 0:
        raise UserError(
            f"data.training_pairs must be at least 0 and data.examples at least 1, not {data.training_pairs} "
            f"and {data.examples}"
        )
    if data.source != pairs.FILES:
        number = (data.training_pairs or pairs.TRAINING_PAIRS) if name == "train" else data.examples
        if number > pairs.TRAINING_PAIRS:
            raise UserError(f"of pairs that are made there are at most {pairs.TRAINING_PAIRS:,}, not {number:,}")
        return pairs.make(data.source, split, data.length, number)
    if not data.data_dir:
        raise UserError(
            "name the folder with the files SPLIT.LANGUAGE: --config.data.data_dir=DIR (for Multi30k: train.en, "
            "train.de and so on, from data/task1/raw of github.com/multi30k/dataset)"
        )
    read = pairs.read(Path(data.data_dir), split, data.source_language, data.target_language, data.longest)
    return read.first(data.training_pairs) if name == "train" and data.training_pairs else read


def _vocabularies(train: Pairs, least_count: int) -> tuple[WordVocabulary, WordVocabulary]:
    return WordVocabulary.of(train.sources, least_count), WordVocabulary.of(train.targets, least_count)


def translate(
    model: Any, variables: Any, pipeline: PairPipeline, batch_size: int, vocabulary: WordVocabulary, beams: int
) -> list[list[str]]:
    """What the network makes of every source, in words, in the order of the pairs."""
    most = max(bucket.arrays["tokens"].shape[1] for bucket in pipeline.buckets)
    answers: list[list[str]] = [[]] * pipeline.size
    for numbers, batch in pipeline.numbered_batches(min(batch_size, pipeline.size)):
        given = tuple(batch[name] for name in INPUTS)
        if beams == 1:
            tokens, _ = decoding.greedy(model, variables, given, BOS, EOS, most)
        else:
            found, _ = decoding.beam_search(model, variables, given, BOS, EOS, most, beams)
            tokens = found[:, 0]
        for number, answer in zip(numbers, np.asarray(tokens), strict=False):  # what fills the batch up has no number
            answers[number] = vocabulary.decode(answer)
    return answers


def bleu(answers: list[list[str]], targets: tuple[tuple[str, ...], ...]) -> float:
    """Corpus BLEU, 0 to 100, of tokens as they are: Papineni et al. 2002, by sacrebleu, with its smoothing."""
    from sacrebleu import corpus_bleu  # 0.1 s

    return corpus_bleu(
        [" ".join(answer) for answer in answers],
        [[" ".join(target) for target in targets]],
        tokenize="none",
        force=True,
    ).score
