import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.data import text
from canon.data.text import Vocabulary
from canon.errors import UserError


@given(st.text(min_size=1))
def test_decoding_is_the_inverse_of_encoding(characters):
    vocabulary = Vocabulary.of(characters)
    numbers = vocabulary.encode(characters)
    assert numbers.dtype == np.int32
    assert vocabulary.decode(numbers) == characters
    assert set(numbers) == set(range(len(vocabulary)))


def test_an_unknown_character_is_named_with_its_line_and_column():
    with pytest.raises(UserError, match=r"--prompt has the character 'ß' \(line 2, column 3\)"):
        Vocabulary.of("ab\n").encode("ab\nabß", "--prompt")


def test_the_splits_of_a_file_make_the_whole(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("".join(chr(0x3B1 + i % 24) for i in range(997)).encode() + b"\r\n")
    splits = [text.load("python_source", split, file=str(path)) for split in text.SPLITS]
    assert "".join(splits) == path.read_text(encoding="utf-8").replace("\r\n", "\n")
    assert [round(len(split) / 998, 2) for split in splits] == [0.9, 0.05, 0.05]
    assert text.load("python_source", "validation+test", file=str(path)) == splits[1] + splits[2]


def test_pythons_source_is_a_million_plain_characters():
    source = text.python_source()
    assert len(source) == text.PYTHON_CHARACTERS
    assert source.isascii()
    assert source.count("def ") > 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"ab\xff", "is not UTF-8: byte 2, in line 1, is 0xff"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_text_is_said(content, message, tmp_path):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        text.load("", "train", file=str(path))


def test_a_split_that_no_text_has_is_said():
    with pytest.raises(UserError, match="the splits train, validation, test, not 'trian'"):
        text.load("python_source", "train+trian")


def test_tiny_shakespeare_is_read_without_tensorflow():
    if not os.environ.get("TFDS_DATA_DIR"):
        pytest.skip("TFDS_DATA_DIR names no folder of prepared data sets")
    whole = text.load("tiny_shakespeare", "train+validation+test")
    assert len(whole) == 1_115_394
    assert len(Vocabulary.of(whole)) == 65
    assert whole.startswith("First Citizen:\nBefore we proceed any further")
    with pytest.raises(UserError, match="not one of texts: it has image, label"):
        text.load("mnist", "train")
