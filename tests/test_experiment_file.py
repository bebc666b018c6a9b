import textwrap
from pathlib import Path

import pytest

from canon import experiment_file
from canon.errors import UserError


def write(tmp_path, body):
    path = tmp_path / "experiment.py"
    path.write_text(
        "from canon import config as canon_config\n\n\ndef get_config(argument='a'):\n"
        "    config = canon_config.default()\n" + textwrap.indent(textwrap.dedent(body), "    ") + "    return config\n"
    )
    return path


def test_an_experiment_gets_its_argument_and_its_default(tmp_path):
    path = write(tmp_path, "config.title = argument\n")
    assert experiment_file.load(path).title == "a"
    assert experiment_file.load(path, "b").title == "b"


def test_a_typo_in_a_file_names_the_line_and_the_nearest_field(tmp_path):
    path = write(tmp_path, "config.title = 'x'\nconfig.train.stpes = 3\n")
    with pytest.raises(UserError, match=r"experiment\.py:7: config has no field 'stpes'; did you mean train\.steps\?"):
        experiment_file.load(path)


def test_reading_a_field_that_does_not_exist_names_the_line_too(tmp_path):
    path = write(tmp_path, "config.train.log_every = config.train.bacth_size\n")
    with pytest.raises(UserError, match=r"experiment\.py:6: .*'bacth_size'; did you mean train\.batch_size\?"):
        experiment_file.load(path)


def test_a_typo_in_a_section_that_the_file_made_anew_is_found_too(tmp_path):
    path = write(tmp_path, "from ml_collections import ConfigDict\nconfig.data = ConfigDict({'sauce': 'digits'})\n")
    with pytest.raises(UserError, match="data"):
        experiment_file.load(path)


def test_a_value_of_another_type_names_the_line(tmp_path):
    path = write(tmp_path, "config.train.steps = 'many'\n")
    with pytest.raises(UserError, match=r"experiment\.py:6: .*steps"):
        experiment_file.load(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def get_config(:\n", r"experiment\.py:1: SyntaxError"),
        ("import nonesuch\n", r"experiment\.py:1: ModuleNotFoundError"),
        ("x = 1\n", "get_config"),
        ("def get_config():\n    return 3\n", "must return a ConfigDict, not int"),
        ("def get_config():\n    return None\n", "must return a ConfigDict, not NoneType"),
        ("def get_config():\n    return 1 / 0\n", r"experiment\.py:2: ZeroDivisionError"),
    ],
)
def test_a_file_that_is_no_experiment_says_why(tmp_path, text, reason):
    path = tmp_path / "experiment.py"
    path.write_text(text)
    with pytest.raises(UserError, match=reason) as error:
        experiment_file.load(path)
    assert "\n" not in str(error.value)


def test_a_relative_path_names_its_line_too(tmp_path, monkeypatch):
    write(tmp_path, "config.train.stpes = 3\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^experiment\.py:6: "):
        experiment_file.load(Path("experiment.py"))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "experiment.txt").write_text("x")
    with pytest.raises(UserError, match="ends in .py"):
        experiment_file.load(tmp_path / "experiment.txt")


def test_the_arguments_of_a_model_can_be_set_one_by_one(tmp_path):
    config = experiment_file.load(write(tmp_path, "config.model.name = 'mlp'\nconfig.model.hidden = (3,)\n"))
    assert config.model.to_dict() == {"name": "mlp", "hidden": (3,)}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("config.data = ConfigDict({'source': 'digits'})", "config lacks the field 'data.autoencoded_sources'"),
        ("config.data.update(normalize='x', falip=True)", "falip"),
        (
            "config.train = ConfigDict({**config.train, 'batch_size': 'x'})",
            "config.train.batch_size takes a whole number",
        ),
        ("config.data = 3", "config.data is a section|data"),
        ("config.figure.error_limit = float('inf')", "config.figure.error_limit takes a number"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_file_that_sets_something_unfit_is_refused(tmp_path, body, reason):
    path = write(tmp_path, f"from ml_collections import ConfigDict\n{body}\n")
    with pytest.raises(UserError, match=reason):
        experiment_file.load(path)


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no experiment file .*nowhere\.py"):
        experiment_file.load(tmp_path / "nowhere.py")
