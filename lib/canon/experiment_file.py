"""Running an experiment file, and saying in one line what is wrong with it. It imports no jax."""

import importlib.util
import re
import traceback
from pathlib import Path

from ml_collections import ConfigDict

from canon.config import check, default, nearest_field
from canon.errors import UserError

# How ml_collections complains of a key that is set, and of one that is read.
_UNKNOWN_KEY = re.compile(r"""Key "(.+?)" does not exist|'(.+?)'(?:\n|$)""")


def load(path: Path, argument: str = "") -> ConfigDict:
    """The config that the experiment file at `path` returns for `argument` (empty: its default).

    Raises:
      UserError: there is no such file, it cannot be run, or it sets a field that does not exist.
    """
    shown, path = path, path.resolve()
    if not path.is_file():
        raise UserError(f"there is no experiment file {shown}")
    if path.suffix != ".py":
        raise UserError(f"an experiment file ends in .py, and {shown} does not")
    spec = importlib.util.spec_from_file_location(f"experiment_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "get_config", None)):
            raise UserError(
                "an experiment file defines get_config(argument), which returns a config; this one does not"
            )
        config = module.get_config(argument) if argument else module.get_config()
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from error
    except (Exception, SystemExit) as error:  # whatever a file may do wrong, its user wants the line and the reason
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines = [error.lineno]
        where = f"{shown}:{lines[-1]}" if lines else str(shown)
        # ml_collections has a "did you mean" of its own: it spans several lines, and knows the keys of one level only.
        cause = error.args[0] if isinstance(error, AttributeError) and error.args else error
        unknown = _UNKNOWN_KEY.match(str(cause.args[0])) if isinstance(cause, KeyError) and cause.args else None
        if unknown:
            key = unknown[1] or unknown[2]
            raise UserError(f"{where}: config has no field {key!r}{nearest_field(key, default())}") from error
        raise UserError(f"{where}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"{shown}: get_config must return a ConfigDict, not {type(config).__name__}")
    try:
        check(config)
    except UserError as error:
        raise UserError(f"{shown}: {error}") from error
    return config.lock()
