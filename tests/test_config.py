import contextlib
import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from canon import config as canon_config
from canon.errors import UserError


def write(tmp_path, body):
    path = tmp_path / "experiment.py"
    path.write_text(
        "from canon import config as canon_config\n\n\ndef get_config(argument='a'):\n"
        "    config = canon_config.default()\n" + textwrap.indent(textwrap.dedent(body), "    ") + "    return config\n"
    )
    return path


def test_the_default_is_locked():
    with pytest.raises(AttributeError, match="did you mean|Did you mean"):
        canon_config.default().train.stpes = 3


def test_an_experiment_gets_its_argument_and_its_default(tmp_path):
    path = write(tmp_path, "config.title = argument\n")
    assert canon_config.load(path).title == "a"
    assert canon_config.load(path, "b").title == "b"


def test_a_typo_in_a_file_names_the_line_and_the_nearest_field(tmp_path):
    path = write(tmp_path, "config.title = 'x'\nconfig.train.stpes = 3\n")
    with pytest.raises(UserError, match=r"experiment\.py:7: config has no field 'stpes'; did you mean train\.steps\?"):
        canon_config.load(path)


def test_reading_a_field_that_does_not_exist_names_the_line_too(tmp_path):
    path = write(tmp_path, "config.train.log_every = config.train.bacth_size\n")
    with pytest.raises(UserError, match=r"experiment\.py:6: .*'bacth_size'; did you mean train\.batch_size\?"):
        canon_config.load(path)


def test_a_typo_in_a_section_that_the_file_made_anew_is_found_too(tmp_path):
    path = write(tmp_path, "from ml_collections import ConfigDict\nconfig.data = ConfigDict({'sauce': 'digits'})\n")
    with pytest.raises(UserError, match="data"):
        canon_config.load(path)


def test_a_value_of_another_type_names_the_line(tmp_path):
    path = write(tmp_path, "config.train.steps = 'many'\n")
    with pytest.raises(UserError, match=r"experiment\.py:6: .*steps"):
        canon_config.load(path)


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
        canon_config.load(path)
    assert "\n" not in str(error.value)


def test_a_relative_path_names_its_line_too(tmp_path, monkeypatch):
    write(tmp_path, "config.train.stpes = 3\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^experiment\.py:6: "):
        canon_config.load(Path("experiment.py"))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "experiment.txt").write_text("x")
    with pytest.raises(UserError, match="ends in .py"):
        canon_config.load(tmp_path / "experiment.txt")


def test_the_arguments_of_a_model_can_be_set_one_by_one(tmp_path):
    config = canon_config.load(write(tmp_path, "config.model.name = 'mlp'\nconfig.model.hidden = (3,)\n"))
    assert config.model.to_dict() == {"name": "mlp", "hidden": (3,)}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("config.data = ConfigDict({'source': 'digits'})", "config lacks the field 'data.data_dir'"),
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
        canon_config.load(path)


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no experiment file .*nowhere\.py"):
        canon_config.load(tmp_path / "nowhere.py")


@pytest.fixture
def config():
    return ConfigDict(
        {
            "count": 3,
            "rate": 0.5,
            "on": True,
            "name": "x",
            "shares": (0.5, 0.75),
            "panels": (("a",),),
            "limit": placeholder(float),
            "arms": {"plain-20": {"model": {"depth": 20}}},
        }
    ).lock()


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("count", "7", 7),
        ("count", "64e3", 64_000),
        ("count", "-2", -2),
        ("rate", "1e-3", 1e-3),
        ("rate", "2", 2.0),
        ("on", "false", False),
        ("on", "True", True),
        ("name", "a=b c", "a=b c"),
        ("shares", "(0.1, 1)", (0.1, 1.0)),
        ("shares", "0.3,0.4", (0.3, 0.4)),
        ("shares", "0.9", (0.9,)),
        ("shares", "()", ()),
        ("panels", "(('a', 'b'), ('c',))", (("a", "b"), ("c",))),
        ("limit", "3", 3.0),
        ("limit", "none", None),
        ("arms.plain-20.model.depth", "26", 26),
    ],
)
def test_an_override_is_read_as_the_fields_type(config, key, text, value):
    canon_config.override(config, key, text)
    got = canon_config.flatten(config)[key]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("cuont", "1", r"no field 'cuont'; did you mean count\?"),
        ("arms.plain-20.model.detph", "1", r"did you mean arms\.plain-20\.model\.depth\?"),
        ("depth", "1", r"did you mean arms\.plain-20\.model\.depth\?"),
        ("count.deeper", "1", "no field 'count.deeper'"),
        ("count", "1.5", "takes a whole number, not '1.5'"),
        ("count", "many", "takes a whole number"),
        ("count", "nan", "takes a whole number"),
        ("count", "inf", "takes a whole number"),
        ("count", "none", "takes a whole number"),
        ("count", "", "takes a whole number"),
        ("rate", "fast", "takes a number"),
        ("on", "1", "takes true or false"),
        ("shares", "x(", "takes a tuple of numbers"),
        ("shares", "('a',)", "takes a tuple of numbers"),
        ("shares", "(True,)", "takes a tuple of numbers"),
        ("panels", "('a', 'b')", "takes a tuple of tuples"),
        ("limit", "high", "takes a number"),
        ("limit", "inf", "takes a number"),
        ("rate", "nan", "takes a number"),
        ("rate", "none", "takes a number"),
        ("arms", "3", r"config\.arms is a section; name one of its fields"),
        ("", "3", "no field ''"),
    ],
)
def test_an_override_that_does_not_fit_says_what_would(config, key, text, reason):
    before = config.to_dict()
    with pytest.raises(UserError, match=reason):
        canon_config.override(config, key, text)
    assert config.to_dict() == before


@given(key=st.text(max_size=12), text=st.text(max_size=12))
def test_no_override_ends_in_anything_but_a_value_or_a_user_error(key, text):
    config = canon_config.default()
    for name in (key, f"train.{key}", "train.steps", "figure.panels", "seeds", "data.flip"):
        with contextlib.suppress(UserError):
            canon_config.override(config, name, text)


def test_json_and_back_is_exact():
    config = canon_config.default()
    config.figure.panels = (("a", "b"), ("c",))
    config.claims = ConfigDict({"c": canon_config.claim(statement="s", higher="a", lower="b", tolerance=0.1)})
    back = canon_config.from_json(canon_config.to_json(config))
    assert canon_config.differences(back, config) == {}
    assert back.figure.panels == (("a", "b"), ("c",))
    json.loads(canon_config.to_json(config), parse_constant=pytest.fail)


def test_differences_name_fields_on_either_side():
    one, other = ConfigDict({"a": 1, "b": {"c": 2}}), ConfigDict({"b": {"c": 3, "d": 4}})
    assert canon_config.differences(one, other) == {"a": (1, None), "b.c": (2, 3), "b.d": (None, 4)}
