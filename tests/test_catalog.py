import functools
import inspect

import pytest
from flax import linen as nn

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


def test_what_a_partial_has_set_belongs_to_the_name_and_is_no_argument():
    table = {"clock": functools.partial(pendulum, damping=0.1), "seconds": functools.partial(pendulum, length=0.994)}
    assert catalog.create("toy", table, "clock", {"length": 2.0}) == ("pendulum", 2.0, 0.1)
    assert catalog.arguments(table["clock"]) == {"length": inspect.Parameter.empty}
    assert catalog.arguments(table["seconds"]) == {"damping": 0.0}
    with pytest.raises(UserError, match=r"toy clock has no argument 'damping' \(it has: length\)"):
        catalog.create("toy", table, "clock", {"length": 2.0, "damping": 0.3})
    with pytest.raises(UserError, match=r"no argument 'dampin'; did you mean damping\? \(it has: damping\)"):
        catalog.create("toy", table, "seconds", {"dampin": 0.3})


def test_a_partial_of_a_partial_sets_the_arguments_of_both():
    outer = functools.partial(functools.partial(pendulum, length=1.0), damping=0.1)
    assert catalog.arguments(outer) == {}
    assert catalog.create("toy", {"clock": outer}, "clock", {}) == ("pendulum", 1.0, 0.1)


def test_what_flax_gives_to_every_module_is_no_argument():
    assert set(catalog.arguments(nn.Dropout)).isdisjoint({"parent", "name"})
