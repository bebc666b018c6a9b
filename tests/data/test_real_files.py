"""Files as their authors published them: Multi30k, and the binding affinities of Kim et al. 2014."""

import os
from pathlib import Path

import pytest

from canon.data import pairs, peptides
from canon.data.words import WordVocabulary

FOLDER = Path(os.environ.get("RAW_DATA_DIR", ""))


def needs(path):
    there = "RAW_DATA_DIR" in os.environ and (FOLDER / path).exists()
    return pytest.mark.skipif(not there, reason=f"no {path} in RAW_DATA_DIR")


@needs("multi30k")
def test_multi30k_is_read_to_its_last_line():
    sizes = {"train": 29_000, "val": 1_014, "test_2016_flickr": 1_000, "test_2017_flickr": 1_000}
    read = {split: pairs.read(FOLDER / "multi30k", split, "en", "de", longest=50) for split in sizes}
    assert {split: len(found) for split, found in read.items()} == sizes
    first, translation = next(iter(read["train"]))
    assert " ".join(first) == "two young , white males are outside near many bushes ."
    assert " ".join(translation) == "zwei junge weiße männer sind im freien in der nähe vieler büsche ."
    vocabulary = WordVocabulary.of(read["train"].sources, least_count=2)
    words = [word for sentence in read["val"].sources for word in sentence]
    assert len(vocabulary.unknown(words)) < 0.03 * len(words)


@needs("hla_binding")
def test_the_affinities_of_a_protein_are_read_in_all_lengths():
    table = FOLDER / "hla_binding" / "bdata.2013.mhci.public.blind.1.txt"
    measured = peptides.read(table, "HLA-A*02:01")
    assert (measured.lengths == 9).sum() == 1_778
    assert set(measured.lengths) == {9, 10}
    assert 0.3 < (measured.affinities > peptides.BINDS_ABOVE).mean() < 0.7
