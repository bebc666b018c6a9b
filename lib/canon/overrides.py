"""Setting a config field from text, as `--config.key=value` gives it."""

import ast
from typing import Any

from ml_collections import ConfigDict, FieldReference

from canon.config import check_value, describe, nearest_field
from canon.errors import UserError


def override(config: ConfigDict, key: str, text: str) -> None:
    """Sets the field with the dotted `key` to `text`, read as the type that the field has.

    Raises:
      UserError: there is no such field, or `text` is not of its type.
    """
    *sections, last = key.split(".")
    section = config
    for name in sections:
        if not isinstance(section, ConfigDict) or name not in section:
            raise UserError(f"config has no field {key!r}{nearest_field(key, config)}")
        section = section[name]
    if not isinstance(section, ConfigDict) or last not in section:
        raise UserError(f"config has no field {key!r}{nearest_field(key, config)}")
    kind = section.get_type(last)
    if issubclass(kind, ConfigDict):
        raise UserError(f"config.{key} is a section; name one of its fields ({', '.join(section[last])})")
    if text.lower() == "none" and isinstance(dict(section.items(preserve_field_references=True))[last], FieldReference):
        section[last] = None  # only what is None by default is kept as a reference
        return
    section[last] = read(f"config.{key}", text, section[last] if section[last] is not None else kind())


def read(name: str, text: str, example: Any) -> Any:
    """`text` as a value of the type that `example` has. Raises `UserError`, beginning with `name`, where it is none."""
    try:
        value = _read(text, type(example))
    except (ValueError, SyntaxError, TypeError, KeyError, OverflowError, MemoryError, RecursionError):
        raise UserError(f"{name} takes {describe(type(example), example)}, not {text!r}") from None
    return check_value(name, value, example)


def _read(text: str, kind: type) -> Any:
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]
    if kind is int:
        number = float(text)  # 64e3 is a whole number too
        if not number.is_integer():
            raise ValueError
        return int(text) if text.lstrip("+-").isdigit() else int(number)
    if kind is tuple:
        value = ast.literal_eval(text)
        return tuple(value) if isinstance(value, tuple | list) else (value,)
    return kind(text)
