"""Making a thing from its name and arguments, as a config gives them.

Models, optimizers and schedules each keep a plain dict from a name to a callable. This file says what a callable can
be given, and turns a wrong name or a wrong argument into one line that lists the right ones.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from canon.errors import UserError, did_you_mean

# Flax gives these two to every module; they belong to the tree of modules, not to a config.
_MODULE_FIELDS = {"parent", "name"}


def look_up(kind: str, table: Mapping[str, Callable], name: str) -> Callable:
    """The entry `name` of `table`.

    Raises:
      UserError: there is none; the message lists the names that exist.
    """
    if name not in table:
        raise UserError(
            f"no {kind} is called {name!r}{did_you_mean(name, table)} (there are: {', '.join(sorted(table))})"
        )
    return table[name]


def arguments(factory: Callable) -> dict[str, Any]:
    """The arguments of `factory` by name, with their defaults (`inspect.Parameter.empty` where there is none).

    What a `functools.partial` has set belongs to the name, and is none of them: `resnet18` has its stage sizes.
    """
    fixed = factory.keywords if isinstance(factory, functools.partial) else {}
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in _MODULE_FIELDS and p.name not in fixed}


def check(kind: str, table: Mapping[str, Callable], name: str, given: Mapping[str, Any]) -> Callable:
    """`table[name]`, once the arguments `given` are known to fit it.

    Raises:
      UserError: no entry has that name, an argument is not one of its own, or one without a default is missing.
    """
    factory = look_up(kind, table, name)
    known = arguments(factory)
    for argument in given:
        if argument not in known:
            raise UserError(
                f"{kind} {name} has no argument {argument!r}{did_you_mean(argument, known)} "
                f"(it has: {', '.join(known)})"
            )
    missing = [a for a, default in known.items() if default is inspect.Parameter.empty and a not in given]
    if missing:
        raise UserError(f"{kind} {name} needs {', '.join(missing)}")
    return factory


def create(kind: str, table: Mapping[str, Callable], name: str, given: Mapping[str, Any]) -> Any:
    """`table[name](**given)`, once name and arguments are known to fit; errors as of `check`."""
    return check(kind, table, name, given)(**given)
