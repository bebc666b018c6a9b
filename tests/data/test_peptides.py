import numpy as np
import pytest

from canon.data import peptides
from canon.errors import UserError

HEADER = "species\tmhc\tpeptide_length\tsequence\tmeas\n"
LINE = "human\tHLA-A*02:01\t9\t{}\t{}\n"


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_an_affinity_is_a_logarithm_between_nothing_and_one():
    found = peptides.affinity(np.array([0.0, 1.0, 500.0, 50_000.0, 88_000.0]))
    np.testing.assert_allclose(found, [1, 1, 1 - np.log(500) / np.log(50_000), 0, 0])
    assert pytest.approx(0.426, abs=5e-4) == peptides.BINDS_ABOVE


def test_a_table_is_read_protein_by_protein(tmp_path):
    table = HEADER + LINE.format("ACD", 50) + LINE.format("YWVT", 500) + "mouse\tH-2-Kb\t2\tAC\t1\n\n"
    found = peptides.read(written(tmp_path / "t.txt", table), "HLA-A*02:01")
    assert found.residues.tolist() == [[0, 1, 2, 0], [19, 18, 17, 16]]
    assert found.lengths.tolist() == [3, 4]
    np.testing.assert_allclose(found.affinities, peptides.affinity(np.array([50, 500])), rtol=1e-6)


def test_what_was_measured_twice_counts_once(tmp_path):
    table = HEADER + LINE.format("ACD", 10) + LINE.format("acd", 1000)
    found = peptides.read(written(tmp_path / "t.txt", table), "HLA-A*02:01")
    np.testing.assert_allclose(found.affinities, peptides.affinity(np.array([100])), rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("sequence\tmhc\n", "lacks the column meas: its first line, with tabs between columns, names sequence"),
        (HEADER + "human\tHLA-A*02:01\t9\tACD\n", "has 4 cells in line 2, and 5 in its first"),
        (HEADER + LINE.format("ACD", 5) + LINE.format("AXD", 5), "'AXD' in line 3 is not of the 20 amino acids"),
        (HEADER + LINE.format("", 5), "'' in line 2 is not of the 20 amino acids"),
        (HEADER + LINE.format("ACD", "low"), "the measurement 'low' in line 2 is not a number above 0"),
        (HEADER + LINE.format("ACD", 0), "the measurement '0' in line 2 is not a number above 0"),
        (HEADER + LINE.format("ACD", "nan"), "the measurement 'nan' in line 2"),
        (HEADER + "human\tHLA-A*02:02\t9\tACD\t4\n", r"no measurement of 'HLA-A\*02:01'; did you mean HLA-A\*02:02\?"),
        (b"\xff\xfe", "is not UTF-8: byte 0, in line 1, is 0xff"),
        (HEADER, "has no measurements after its first line"),
        (HEADER + LINE.format("ACD", "1_000"), "the measurement '1_000' in line 2"),
        (HEADER.replace("\n", "\r"), "has a carriage return within line 1"),
        ("", "is empty"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_place(tmp_path, content, says):
    with pytest.raises(UserError, match=says) as caught:
        peptides.read(written(tmp_path / "t.txt", content), "HLA-A*02:01")
    assert "\n" not in str(caught.value)


def test_a_table_that_is_missing_is_said(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file.*data.text names the table"):
        peptides.read(tmp_path / "t.txt", "HLA-A*02:01")


def test_every_peptide_is_in_one_split():
    made = peptides.make(203)
    parts = [peptides.split_of(made, split) for split in peptides.SPLITS]
    assert [len(part) for part in parts] == [142, 20, 41]
    together = np.sort(np.concatenate([part.affinities for part in parts]))
    np.testing.assert_array_equal(together, np.sort(made.affinities))
    with pytest.raises(UserError, match="the splits train, validation, test, not 'dev'"):
        peptides.split_of(made, "dev")


def test_peptides_that_are_made_are_the_same_every_time_and_their_anchors_count_most():
    made = peptides.make(4_000)
    assert made.checksum == peptides.make(4_000).checksum
    assert set(made.lengths) == {8, 9, 10, 11}
    logits = np.log(made.affinities / (1 - made.affinities))
    rows = np.arange(4_000)

    # Alone, without what its product with the other one says.
    def explained(column):
        means = np.array([logits[column == i].mean() for i in range(20)])
        return means[column].var() / logits.var()

    anchors = [explained(made.residues[:, 1]), explained(made.residues[rows, made.lengths - 1])]
    assert min(anchors) > 2 * max(explained(made.residues[:, place]) for place in (0, 2, 3, 4, 5, 6))


def test_a_peptides_padding_is_zero():
    made = peptides.make(50)
    assert (made.residues[np.arange(11) >= made.lengths[:, None]] == 0).all()
