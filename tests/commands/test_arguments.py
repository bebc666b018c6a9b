import pytest

from canon.commands import arguments
from canon.errors import UserError


def test_overrides_are_taken_out_in_either_spelling_and_in_order():
    rest, overrides = arguments.split_overrides(
        ["toy", "--config.a.b=1=2", "--workdir", "w", "--config.seeds", "5", "--config.x=-1", "--config=f.py:a"]
    )
    assert rest == ["toy", "--workdir", "w", "--config=f.py:a"]
    assert overrides == [("a.b", "1=2"), ("seeds", "5"), ("x", "-1")]


@pytest.mark.parametrize("line", [["--config.seeds"], ["--config.seeds", "--workdir=w"]])
def test_a_key_without_a_value_is_refused(line):
    with pytest.raises(UserError, match=r"--config\.seeds needs a value"):
        arguments.split_overrides(line)


def test_experiments_are_found_by_name_with_or_without_an_argument(tmp_path):
    (tmp_path / "toy.py").touch()
    (tmp_path / "_helper.py").touch()
    assert arguments.names(tmp_path) == ["toy"]
    found = arguments.find_experiment("toy:a:b", tmp_path)
    assert (found.name, found.path, found.argument) == ("toy", tmp_path / "toy.py", "a:b")
    with pytest.raises(UserError, match=r"no experiment is called 'tou'; did you mean toy\? \(there are: toy\)"):
        arguments.find_experiment("tou", tmp_path)


def test_a_mistake_in_a_flag_is_one_line():
    with pytest.raises(UserError, match=r"unrecognized arguments: --nonsense \(see launch.py run --help\)"):
        arguments.Parser("run", "Runs.").parse_args(["--nonsense"])
