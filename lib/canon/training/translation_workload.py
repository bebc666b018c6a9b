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
from canon.data.words import BOS, EOS, SPECIAL, WordVocabulary
from canon.errors import UserError
from canon.generation import decoding
from canon.training import workload
from canon.training.perplexity import perplexity
from canon.training.sequence_to_sequence import SequenceToSequence
from canon.training.workload import Workload

INPUTS = ("source", "length")
"""What of a batch the model is given besides the target."""

# What the section `data` has for pairs, and for those from each source.
_FIELDS = (
    "source", "train_split", "validation_split", "test_split", "reverse_source", "training_pairs", "copied_targets",
    "autoencoded_sources", "least_count", "bucket",
)  # fmt: skip
_OF_FILES = ("data_dir", "source_language", "target_language", "longest")
_OF_MADE = ("length", "examples")


def create(config: ConfigDict, mesh: Mesh, watch_activity: bool) -> Workload:
    """The workload of an arm. It reads the sentences.

    Raises:
      UserError: something in the config does not exist or does not fit.
    """
    models.check_kind(config.model.name, "translation")
    data = config.data
    pairs.check_source(data.source)
    from_files = data.source == pairs.FILES
    of = "pairs of sentences from files" if from_files else "pairs of sentences that are made"
    workload.check_fields(config, _FIELDS + (_OF_FILES if from_files else _OF_MADE), watch_activity, of)
    workload.check_cross_entropy(config, of)
    read = _read(FrozenConfigDict({name: data[name] for name in (*_FIELDS, *_OF_FILES, *_OF_MADE)}))
    source, target = _vocabularies(read["train"], data)
    most = most_tokens(data)
    read["train"] = pairs.augment(read["train"], data.copied_targets, data.autoencoded_sources)
    model = models.create(**config.model, num_classes=len(target), num_source_classes=len(source))
    pipelines = {
        split: pair_pipeline.create(
            [source.encode(sentence) for sentence in of_split.sources],
            [target.encode(sentence) for sentence in of_split.targets],
            config.train.batch_size if split == "train" else 1,
            data.bucket,
            data.reverse_source,
        )
        for split, of_split in read.items()
    }
    loss = losses.create(**config.loss, num_classes=len(target))

    def measure(variables: Any, split: str, batch_size: int) -> dict[str, float]:
        answers = translate(model, variables, pipelines[split], batch_size, target, most, config.train.beams)
        return {"bleu": bleu(answers, read[split].targets)}

    return Workload(
        task=SequenceToSequence(model, INPUTS, loss),
        pipelines=pipelines,
        preprocess=lambda batch, key: batch,
        vocabularies={"source": source.words, "target": target.words},
        checksums={split: of_split.checksum for split, of_split in read.items()},
        derive=perplexity,
        measure=measure,
    )


def most_tokens(data: ConfigDict) -> int:
    """Of an answer at most, its end among them."""
    return (data.longest if data.source == pairs.FILES else data.length) + 1


def _read(data: FrozenConfigDict) -> dict[str, Pairs]:
    return {name: _split(data, name, split) for name, split in workload.splits(data).items()}


@functools.lru_cache(maxsize=8)
def _split(data: FrozenConfigDict, name: str, split: str) -> Pairs:
    wanted = data.training_pairs if name == "train" else 0
    if data.training_pairs < 0:
        raise UserError(f"data.training_pairs must be at least 0, not {data.training_pairs}")
    if data.source != pairs.FILES:
        return pairs.make(data.source, split, data.length, (wanted or pairs.MOST) if name == "train" else data.examples)
    if not data.data_dir:
        raise UserError(
            "name the folder with the files SPLIT.LANGUAGE: --config.data.data_dir=DIR (for Multi30k: train.en, "
            "train.de and so on, from data/task1/raw of github.com/multi30k/dataset)"
        )
    if not 1 <= data.longest <= pairs.LONGEST:
        raise UserError(f"data.longest must be from 1 to {pairs.LONGEST:,}, not {data.longest}")
    read = pairs.read(Path(data.data_dir), split, data.source_language, data.target_language, data.longest)
    if wanted > len(read):
        raise UserError(f"data.training_pairs must be at most the {len(read):,} that there are, not {wanted:,}")
    return read.first(wanted) if wanted else read


def _vocabularies(train: Pairs, data: ConfigDict) -> tuple[WordVocabulary, WordVocabulary]:
    """The words of sources and of targets, counted before any of them are used once more."""
    if data.least_count < 1:
        raise UserError(f"data.least_count must be at least 1, not {data.least_count}")
    source, target = (WordVocabulary.of(sentences, data.least_count) for sentences in (train.sources, train.targets))
    if min(len(source), len(target)) == len(SPECIAL):
        raise UserError(f"training sees no word data.least_count={data.least_count} times; give a smaller one")
    return (
        source + target if data.copied_targets else source,
        target + source if data.autoencoded_sources else target,
    )


def translate(
    model: Any,
    variables: Any,
    pipeline: PairPipeline,
    batch_size: int,
    vocabulary: WordVocabulary,
    most: int,
    beams: int,
) -> list[list[str]]:
    """What the network makes of every source, in words, in the order of the pairs; `most`: see `most_tokens`."""
    answers: list[list[str]] = [[]] * pipeline.size
    for numbers, batch in pipeline.numbered_batches(batch_size):
        given = tuple(batch[name] for name in INPUTS)
        found, _ = decoding.decode(model, variables, given, BOS, EOS, most, beams)
        for number, answer in zip(numbers, np.asarray(found)[:, 0], strict=False):  # what fills a batch has no number
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
