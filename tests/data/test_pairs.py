import numpy as np
import pytest

from canon.data import pairs
from canon.data.pairs import Pairs
from canon.errors import UserError


def written(folder, **lines):
    for language, content in lines.items():
        (folder / f"train.{language}").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder, longest=9):
    return pairs.read(folder, "train", "en", "de", longest)


def test_line_n_of_one_file_goes_with_line_n_of_the_other(tmp_path):
    found = read(written(tmp_path, en="A dog.\nTwo men\r\n", de="Ein Hund.\nZwei Männer"))
    assert found.sources == (("a", "dog", "."), ("two", "men"))
    assert found.targets == (("ein", "hund", "."), ("zwei", "männer"))


def test_a_line_ends_at_a_new_line_only(tmp_path):
    found = read(written(tmp_path, en="one\x85two\u2028three\nfour\n", de="eins\nvier\n"))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ({"en": "a\nb\n", "de": "a\n"}, r"have 2 and 1 lines; line n of one is to be the translation"),
        ({"en": "a\n\nb\n", "de": "a\nb\nc\n"}, r"train.en has nothing in line 2"),
        ({"en": "a\n", "de": " \nb\n"}, r"train.de has nothing in line 1"),
        (
            {"en": "a\nb b b b b b b b b b\n", "de": "a\nb\n"},
            "train.en has 10 words and signs in line 2: raise --config.data.longest=9",
        ),
        ({"en": b"a\n\xff\n", "de": "a\nb\n"}, "train.en is not UTF-8: byte 2, in line 2, is 0xff"),
        ({"en": "a\n"}, "train.de cannot be read: No such file.*data.data_dir.*data.target_language"),
        ({"en": "", "de": ""}, "train.en is empty"),
        ({"en": "a\rb\n", "de": "a\n"}, "train.en has a carriage return within line 1"),
    ],
)
def test_what_is_wrong_with_the_files_is_said_with_its_place(tmp_path, lines, says):
    with pytest.raises(UserError, match=says) as caught:
        read(written(tmp_path, **lines))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(pairs.LANGUAGES))
def test_what_is_made_is_the_same_every_time_and_differs_between_splits(name):
    made = pairs.make(name, "train", 12, 300)
    assert made == pairs.make(name, "train", 12, 300)
    assert made.checksum != pairs.make(name, "test", 12, 300).checksum
    assert {len(source) for source in made.sources} == set(range(6, 13))
    assert made.first(7) == pairs.make(name, "train", 12, 7)


def test_adjectives_go_behind_their_nouns():
    for source, target in pairs.make("phrases", "train", 9, 200):
        expected, i = [], 0
        while i < len(source):
            moves = source[i][0] == "a" and source[i + 1 : i + 2] and source[i + 1][0] == "n"
            here = [source[i + 1], source[i]] if moves else [source[i]]
            expected += [word.upper() for word in here]
            i += len(here)
        assert list(target) == expected


def test_a_copy_is_a_copy():
    made = pairs.make("copy", "validation", 8, 50)
    assert made.sources == made.targets


def test_sentences_are_added_as_pairs_with_themselves():
    given = Pairs((("a",), ("b",), ("c",), ("d",)), (("A",), ("B",), ("C",), ("D",)))
    added = pairs.augment(given, copied_targets=0.5, autoencoded_sources=0.25)
    assert list(added) == [*given, (("A",), ("A",)), (("B",), ("B",)), (("a",), ("a",))]
    assert pairs.augment(given, 0.0, 0.0) == given


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: pairs.make("phrase", "train", 9, 5), r"no pairs are called 'phrase'; did you mean phrases\?"),
        (lambda: pairs.make("copy", "val", 9, 5), "the splits train, validation, test, not 'val'"),
        (lambda: pairs.make("copy", "train", 0, 5), "data.length must be from 1 to 1,000, not 0"),
        (lambda: pairs.make("copy", "train", 9, 0), "from 1 to 10,000 .data.training_pairs, data.examples., not 0"),
        (lambda: pairs.augment(Pairs((), ()), 1.5, 0.0), "data.copied_targets must be from 0 to 1, not 1.5"),
        (lambda: pairs.augment(Pairs((), ()), 0.0, float("nan")), "data.autoencoded_sources must be from 0 to 1"),
    ],
)
def test_what_does_not_exist_is_said(call, says):
    with pytest.raises(UserError, match=says):
        call()


def test_lengths_are_each_as_likely():
    lengths = [len(source) for source in pairs.make("copy", "train", 10, 6_000).sources]
    counts = np.bincount(lengths)[5:]
    assert len(counts) == 6
    assert (np.abs(counts - 1_000) < 150).all()


def test_a_language_is_not_translated_into_itself(tmp_path):
    with pytest.raises(UserError, match="data.source_language and data.target_language are both 'en'"):
        pairs.read(tmp_path, "train", "en", "en", longest=9)
