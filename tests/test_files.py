import json

import pytest

from canon import files


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "verdict.json"
    for content in ("one", b"two"):
        files.write(path, content)
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "verdict.json"
    files.write(path, "old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_leaves_of_a_file_is_known_for_it(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(files.os, "replace", lambda aside, path: seen.append(aside))
    files.write(tmp_path / "study.json", "x")
    (aside,) = seen
    assert aside.exists()
    assert files.is_left_of(aside, "study.json")
    assert not files.is_left_of(aside, "result.json")
    assert not files.is_left_of(tmp_path / "study.json", "study.json")


def test_numbers_that_json_has_no_word_for_become_null(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": [float("nan"), 1.5], "b": {"c": float("-inf")}, "d": (1, "x", None, True)})
    expected = {"a": [None, 1.5], "b": {"c": None}, "d": [1, "x", None, True]}
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == expected
