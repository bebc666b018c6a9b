import pytest

from canon import catalog
from canon.errors import UserError, did_you_mean


def pendulum(length: float, damping: float = 0.0):
    return ("pendulum", length, damping)


TABLE = {"pendulum": pendulum}


def test_it_calls_what_the_name_stands_for():
    assert catalog.create("toy", TABLE, "pendulum", {"length": 2.0}) == ("pendulum", 2.0, 0.0)


def test_a_missing_argument_is_named():
    with pytest.raises(UserError, match="toy pendulum needs length"):
        catalog.create("toy", TABLE, "pendulum", {"damping": 1.0})


def test_an_unknown_argument_is_named_with_the_nearest():
    with pytest.raises(UserError, match=r"no argument 'lenght'; did you mean length\? \(it has: length, damping\)"):
        catalog.create("toy", TABLE, "pendulum", {"lenght": 1.0})


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(UserError, match=r"no toy is called 'pendlum'; did you mean pendulum\? \(there are: pendulum\)"):
        catalog.look_up("toy", TABLE, "pendlum")


def test_nothing_near_suggests_nothing():
    assert did_you_mean("xyz", ["pendulum"]) == ""
