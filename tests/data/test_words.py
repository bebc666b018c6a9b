import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.data.words import BOS, EOS, PAD, SPECIAL, UNK, WordVocabulary, join, tokenize


@pytest.mark.parametrize(
    ("sentence", "tokens"),
    [
        ("A man, in a blue shirt.", ["a", "man", ",", "in", "a", "blue", "shirt", "."]),
        ("Zwei junge weiße Männer", ["zwei", "junge", "weiße", "männer"]),
        ("a t-shirt costs $3.50!", ["a", "t-shirt", "costs", "$", "3.50", "!"]),
        (" \t ", []),
    ],
)
def test_a_sentence_is_cut_into_lower_case_words_and_signs(sentence, tokens):
    assert tokenize(sentence) == tokens


def test_a_sentence_to_read_has_its_signs_at_its_words():
    assert join(["a", "man", ",", "in", "blue", "."]) == "a man, in blue."


def test_frequent_words_come_first_and_rare_ones_are_unknown():
    vocabulary = WordVocabulary.of([["b", "a", "b"], ["c", "b", "a"]], least_count=2)
    assert vocabulary.words == (*SPECIAL, "b", "a")
    assert vocabulary.encode(["a", "c", "b"]) == [5, UNK, 4]
    assert vocabulary.unknown(["a", "c", "b"]) == ["c"]
    assert vocabulary.decode([BOS, 5, UNK, PAD, 4, EOS, 5]) == ["a", "<unk>", "b"]


def test_words_of_another_vocabulary_come_after_the_own_ones():
    one, other = WordVocabulary((*SPECIAL, "b", "a")), WordVocabulary((*SPECIAL, "c", "b"))
    assert (one + other).words == (*SPECIAL, "b", "a", "c")


@given(st.lists(st.lists(st.sampled_from([*"abcdef", *SPECIAL]), min_size=1), min_size=1))
def test_what_training_saw_comes_back_but_for_words_that_look_special(sentences):
    vocabulary = WordVocabulary.of(sentences)
    assert len(set(vocabulary.words)) == len(vocabulary)
    for sentence in sentences:
        expected = ["<unk>" if word in SPECIAL else word for word in sentence]
        assert vocabulary.decode(vocabulary.encode(sentence)) == expected
