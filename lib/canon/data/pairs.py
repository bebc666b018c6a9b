"""Pairs of sentences, a source and its target: read from parallel files, or made."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from canon import files
from canon.data.words import tokenize
from canon.errors import UserError, did_you_mean

Sentence = tuple[str, ...]

FILES = "parallel_files"
"""The name of what stands in files, in the config's `data.source`."""

_MADE = {"train": 1, "validation": 2, "test": 3}
"""Of each split of what is made, what its sentences are drawn with."""

MOST = 10_000
"""Of what is made, how many there are at most in a split; and to train with, where the config does not say."""

LONGEST = 1_000
"""Words of a sentence at most, wherever it is from."""


@dataclass(frozen=True)
class Pairs:
    """Sentences that belong together.

    Attributes:
      sources: in words.
      targets: as many.
    """

    sources: tuple[Sentence, ...]
    targets: tuple[Sentence, ...]

    def __post_init__(self):
        if len(self.sources) != len(self.targets):
            raise ValueError(f"{len(self.sources)} sources and {len(self.targets)} targets")

    def __len__(self) -> int:
        return len(self.sources)

    def __add__(self, other: "Pairs") -> "Pairs":
        return Pairs(self.sources + other.sources, self.targets + other.targets)

    def __iter__(self) -> Iterator[tuple[Sentence, Sentence]]:
        return zip(self.sources, self.targets, strict=True)

    def first(self, number: int) -> "Pairs":
        return Pairs(self.sources[:number], self.targets[:number])

    @property
    def checksum(self) -> int:
        """By which other pairs are told."""
        return zlib.crc32("\n".join(f"{' '.join(s)}\t{' '.join(t)}" for s, t in self).encode())


def augment(pairs: Pairs, copied_targets: float, autoencoded_sources: float) -> Pairs:
    """The pairs, and some of their sentences once more, as pairs with themselves.

    Args:
      pairs: to train with.
      copied_targets: how many targets are added as their own sources, as a share of the pairs, from the first on:
        Currey, Miceli Barone and Heafield 2017, "Copied monolingual data improves low-resource neural machine
        translation".
      autoencoded_sources: how many sources are added as their own targets, likewise: the autoencoding of Luong et al.
        2016, "Multi-task sequence to sequence learning", with one encoder and one decoder for both tasks.

    Raises:
      UserError: a share is not from 0 to 1.
    """
    for name, share in (("copied_targets", copied_targets), ("autoencoded_sources", autoencoded_sources)):
        if not 0 <= share <= 1:
            raise UserError(f"data.{name} must be from 0 to 1, not {share}")
    copied = pairs.targets[: round(copied_targets * len(pairs))]
    autoencoded = pairs.sources[: round(autoencoded_sources * len(pairs))]
    return pairs + Pairs(copied, copied) + Pairs(autoencoded, autoencoded)


def read(folder: Path, split: str, source_language: str, target_language: str, longest: int) -> Pairs:
    """The pairs in FOLDER/SPLIT.LANGUAGE, a sentence a line; line n of one file translates line n of the other.

    Raises:
      UserError: a file cannot be read or is not UTF-8, a line is empty or has more than `longest` words and signs, or
        the files have different numbers of lines; the message says where.
    """
    if source_language == target_language:
        raise UserError(f"data.source_language and data.target_language are both {source_language!r}")
    paths = [folder / f"{split}.{language}" for language in (source_language, target_language)]
    sources, targets = (_read(path, longest) for path in paths)
    if len(sources) != len(targets):
        raise UserError(
            f"{paths[0]} and {paths[1]} have {len(sources):,} and {len(targets):,} lines; line n of one is to be the "
            "translation of line n of the other"
        )
    return Pairs(sources, targets)


def _read(path: Path, longest: int) -> tuple[Sentence, ...]:
    advice = (
        "the files are DATA_DIR/SPLIT.LANGUAGE, by data.data_dir, data.train_split, data.validation_split, "
        "data.test_split, data.source_language and data.target_language"
    )
    sentences = []
    for number, line in enumerate(files.read_lines(path, advice), start=1):
        words = tokenize(line)
        if not words:
            raise UserError(f"{path} has nothing in line {number}; take the line out of both files")
        if len(words) > longest:
            raise UserError(
                f"{path} has {len(words)} words and signs in line {number}: raise --config.data.longest={longest}, or "
                "take the line out of both files"
            )
        sentences.append(tuple(words))
    return tuple(sentences)


def phrases(random: np.random.Generator, length: int) -> tuple[Sentence, Sentence]:
    """A language of ten adjectives and ten nouns, and one in which an adjective follows the noun that it stands before.

    Any sequence of them is a sentence; word for word the target has the words of the source, in nearly its order, as
    French has of English.
    """
    is_noun, number = random.random(length) < 0.5, random.integers(0, 10, length)
    source = [f"{'n' if noun else 'a'}{i}" for noun, i in zip(is_noun, number, strict=True)]
    target = [word.upper() for word in source]
    for i in range(length - 1):
        if not is_noun[i] and is_noun[i + 1]:
            target[i], target[i + 1] = target[i + 1], target[i]
    return tuple(source), tuple(target)


def copy(random: np.random.Generator, length: int) -> tuple[Sentence, Sentence]:
    """Any sequence of twenty words, and the same again."""
    words = tuple(f"w{i}" for i in random.integers(0, 20, length))
    return words, words


LANGUAGES: dict[str, Callable[[np.random.Generator, int], tuple[Sentence, Sentence]]] = {
    "copy": copy,
    "phrases": phrases,
}


def check_source(name: str) -> None:
    """Raises `UserError` unless there are pairs of that name: of a language that is made, or `FILES`."""
    known = (*LANGUAGES, FILES)
    if name not in known:
        raise UserError(f"no pairs are called {name!r}{did_you_mean(name, known)} (there are: {', '.join(known)})")


def make(name: str, split: str, longest: int, number: int) -> Pairs:
    """So many pairs of a language that is made, of `longest` / 2 to `longest` words, each length as likely.

    Raises:
      UserError: there is no such language or split, or a number is out of range.
    """
    check_source(name)
    if split not in _MADE:
        raise UserError(f"pairs that are made have the splits {', '.join(_MADE)}, not {split!r}")
    if not 1 <= longest <= LONGEST:
        raise UserError(f"data.length must be from 1 to {LONGEST:,}, not {longest}")
    if not 1 <= number <= MOST:
        raise UserError(
            f"pairs that are made are from 1 to {MOST:,} (data.training_pairs, data.examples), not {number:,}"
        )
    random = np.random.default_rng([_MADE[split], longest])
    shortest = -(-longest // 2)  # drawn pair by pair, so that fewer of them are the first of more
    made = [LANGUAGES[name](random, int(random.integers(shortest, longest, endpoint=True))) for _ in range(number)]
    return Pairs(tuple(source for source, _ in made), tuple(target for _, target in made))
