"""Texts as sequences of characters, and the vocabulary that turns them into numbers.

`python_source` is the source code of the Python that runs this; `tiny_shakespeare` and other sets of TensorFlow
Datasets with the one feature `text` are read as `canon.data.tfds_source` reads images; and any file of UTF-8 will do.
"""

import functools
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from canon import files
from canon.errors import UserError

SPLITS = {"train": (0.0, 0.9), "validation": (0.9, 0.95), "test": (0.95, 1.0)}
"""Which share of a text that has no official splits each of them is, from the text's beginning to its end."""

PYTHON_CHARACTERS = 1_000_000
"""Of Python's own source, how many make `python_source`."""


@dataclass(frozen=True)
class Vocabulary:
    """The characters that a model knows; a character's number is its place.

    Attributes:
      characters: in the order of their code points, each once.
    """

    characters: tuple[str, ...]

    @classmethod
    def of(cls, text: Iterable[str]) -> "Vocabulary":
        return cls(tuple(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {character: number for number, character in enumerate(self.characters)}

    def encode(self, text: str, what: str = "the text") -> np.ndarray:
        """The numbers of the characters: `[len(text)]` int32.

        Raises:
          UserError: the vocabulary lacks a character; the message says where, beginning with `what`.
        """
        numbers = np.array([self._numbers.get(character, -1) for character in text], np.int32)
        if (unknown := np.flatnonzero(numbers < 0)).size:
            at = int(unknown[0])
            line = text.count("\n", 0, at) + 1
            raise UserError(
                f"{what} has the character {text[at]!r} (line {line}, column {at - text.rfind(chr(10), 0, at)}), which "
                f"is none of the {len(self)} that the model knows"
            )
        return numbers

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of which `encode` makes these numbers."""
        return "".join(self.characters[int(number)] for number in numbers)


def load(name: str, split: str, data_dir: str = "", file: str = "") -> str:
    """A split of a text.

    Args:
      name: `python_source`, or a set of TensorFlow Datasets with the feature `text`.
      split: `train`, `validation` or `test`, or several of them joined by `+`.
      data_dir: see `canon.data.sources.load`.
      file: the path of a text file in UTF-8, in place of `name`.

    Raises:
      UserError: there is no such text or split, or it is empty or not UTF-8.
    """
    parts = split.split("+")
    if not file and name != "python_source":
        from canon.data import tfds_source  # an import of 0.3 s, which the others can do without

        return "".join(tfds_source.load_text(name, part, data_dir) for part in parts)
    text = files.read_text(Path(file)) if file else python_source()
    if unknown := [part for part in parts if part not in SPLITS]:
        raise UserError(f"a text has the splits {', '.join(SPLITS)}, not {unknown[0]!r}")
    return "".join(text[int(SPLITS[part][0] * len(text)) : int(SPLITS[part][1] * len(text))] for part in parts)


@functools.cache
def python_source() -> str:
    """The first million characters of the modules of Python's standard library, by name; those in plain ASCII.

    Another version of Python has another text.
    """
    pieces, size = [], 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        content = path.read_bytes()
        if not content.isascii():
            continue
        pieces.append(content.decode("ascii").replace("\r\n", "\n"))
        size += len(pieces[-1])
        if size >= PYTHON_CHARACTERS:
            break
    if not pieces:
        raise UserError(
            "this Python comes without the source of its standard library; name a file: --config.data.text=FILE"
        )
    return "".join(pieces)[:PYTHON_CHARACTERS]
