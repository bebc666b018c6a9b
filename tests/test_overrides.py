import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from canon import config as canon_config
from canon import overrides
from canon.errors import UserError


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
    overrides.override(config, key, text)
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
        overrides.override(config, key, text)
    assert config.to_dict() == before


@pytest.mark.parametrize(
    ("text", "example", "value"),
    [
        ("56", 20, 56),
        ("1e3", 20, 1000),
        ("true", False, True),
        ("1", 0.5, 1.0),
        ("3,4", (800, 800), (3, 4)),
        ("7", (800, 800), (7,)),
        ("2.5", (), (2.5,)),
        ("", "A", ""),
        ("none", "A", "none"),
    ],
)
def test_a_text_is_read_as_the_type_of_an_example(text, example, value):
    got = overrides.read("--argument", text, example)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "example", "reason"),
    [
        ("few", 20, "a whole number, not 'few'"),
        ("none", 20, "a whole number, not 'none'"),
        ("inf", 0.5, "a number, not inf"),
        ("yes", False, "true or false, not 'yes'"),
        ("3,x", (800, 800), r"a tuple of whole numbers, such as \(800, 800\), not '3,x'"),
        ("(3, 0.5)", (800, 800), r"a tuple of whole numbers, such as \(800, 800\), not \(3, 0.5\)"),
    ],
)
def test_a_text_that_is_no_such_value_is_refused_by_its_name(text, example, reason):
    with pytest.raises(UserError, match=f"^--argument takes {reason}$"):
        overrides.read("--argument", text, example)


@given(text=st.text(max_size=12), example=st.sampled_from([3, 0.5, True, "x", (1,), (0.5,), ("a",), ()]))
def test_no_text_ends_in_anything_but_a_value_of_the_type_or_a_user_error(text, example):
    with contextlib.suppress(UserError):
        assert type(overrides.read("--argument", text, example)) is type(example)


@given(key=st.text(max_size=12), text=st.text(max_size=12))
def test_no_override_ends_in_anything_but_a_value_or_a_user_error(key, text):
    config = canon_config.default()
    for name in (key, f"train.{key}", "train.steps", "figure.panels", "seeds", "augment.flip"):
        with contextlib.suppress(UserError):
            overrides.override(config, name, text)
