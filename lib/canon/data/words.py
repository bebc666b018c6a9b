"""Sentences as sequences of words, and the vocabulary that turns them into numbers."""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
"""What stands in a vocabulary before the words: filling, a sentence's beginning and end, and any word that it lacks."""

PAD, BOS, EOS, UNK = range(len(SPECIAL))


@functools.cache
def _tokenizer():
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a  # 0.1 s, which verbs without sentences do without

    return Tokenizer13a()


def tokenize(sentence: str) -> list[str]:
    """The words and punctuation of a sentence, in lower case, as mteval-v13a cuts them: the tokens that BLEU counts."""
    return _tokenizer()(sentence.lower()).split()


def join(words: Iterable[str]) -> str:
    """A sentence to read, of its tokens; some spaces may stand where the sentence that was cut had none."""
    return re.sub(r" ([.,;:!?)])", r"\1", " ".join(words))


@dataclass(frozen=True)
class WordVocabulary:
    """The words that a model knows; a word's number is its place.

    Attributes:
      words: `SPECIAL`, then each word once, frequent ones first.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]], least_count: int = 1) -> "WordVocabulary":
        """The words that occur at least `least_count` times."""
        counts = Counter(word for sentence in sentences for word in sentence)
        frequent = sorted((-count, word) for word, count in counts.items() if count >= least_count)
        return cls((*SPECIAL, *(word for _, word in frequent if word not in SPECIAL)))

    def __len__(self) -> int:
        return len(self.words)

    def __add__(self, other: "WordVocabulary") -> "WordVocabulary":
        """With the words of another one after its own."""
        return WordVocabulary(tuple(dict.fromkeys(self.words + other.words)))

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words) if number > UNK}

    def encode(self, sentence: Iterable[str]) -> list[int]:
        """The numbers of the words, `UNK` for one that the vocabulary lacks."""
        return [self._numbers.get(word, UNK) for word in sentence]

    def unknown(self, sentence: Iterable[str]) -> list[str]:
        """The words of a sentence that the vocabulary lacks."""
        return [word for word in sentence if word not in self._numbers]

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """The words up to the first `EOS`, without `PAD` and `BOS`."""
        words = []
        for number in numbers:
            if number == EOS:
                break
            if number not in (PAD, BOS):
                words.append(self.words[int(number)])
        return words
