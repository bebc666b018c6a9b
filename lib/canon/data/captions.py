"""The names of classes, letter by letter: the shortest captions that an image can have."""

from dataclasses import dataclass

import numpy as np

from canon.data.words import BOS, EOS, PAD, SPECIAL
from canon.errors import UserError

_NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

NAMES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "digits": _NUMERALS,
    "mnist": _NUMERALS,
}
"""Of each set its classes, in the order of their labels."""


@dataclass(frozen=True, eq=False)
class Captions:
    """The captions of a set, each as its class's label is its row.

    Attributes:
      characters: `SPECIAL` and the letters, in the order of their numbers.
      tokens: `BOS` and the name, `[classes, longest + 1]` int32, then `PAD`.
      targets: the name and `EOS`, likewise.
      mask: 1 where `targets` has tokens, float32.
    """

    characters: tuple[str, ...]
    tokens: np.ndarray
    targets: np.ndarray
    mask: np.ndarray


def create(source: str) -> Captions:
    """The captions of a data set. Raises `UserError` where its classes have no names here."""
    if source not in NAMES:
        raise UserError(f"the classes of {source} have no names here to be spelt (those of {', '.join(NAMES)} have)")
    names = NAMES[source]
    characters = (*SPECIAL, *sorted(set("".join(names))))
    numbers = {character: number for number, character in enumerate(characters)}
    width = max(map(len, names)) + 1
    tokens, targets = (np.full((len(names), width), PAD, np.int32) for _ in range(2))
    for row, name in enumerate(names):
        spelt = [numbers[letter] for letter in name]
        tokens[row, : len(name) + 1] = [BOS, *spelt]
        targets[row, : len(name) + 1] = [*spelt, EOS]
    return Captions(characters, tokens, targets, (targets != PAD).astype(np.float32))
