import json

import pytest
from ml_collections import ConfigDict

from canon import config as canon_config
from canon import config_identity


def test_the_default_is_locked():
    with pytest.raises(AttributeError, match="did you mean|Did you mean"):
        canon_config.default().train.stpes = 3


def test_json_and_back_is_exact():
    config = canon_config.default()
    config.figure.panels = (("a", "b"), ("c",))
    config.claims = ConfigDict({"c": canon_config.claim(statement="s", higher="a", lower="b", tolerance=0.1)})
    back = canon_config.from_json(canon_config.to_json(config))
    assert config_identity.differences(back, config) == {}
    assert back.figure.panels == (("a", "b"), ("c",))
    json.loads(canon_config.to_json(config), parse_constant=pytest.fail)


def test_differences_name_fields_on_either_side():
    one, other = ConfigDict({"a": 1, "b": {"c": 2}}), ConfigDict({"b": {"c": 3, "d": 4}})
    assert config_identity.differences(one, other) == {"a": (1, None), "b.c": (2, 3), "b.d": (None, 4)}
