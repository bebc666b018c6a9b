"""Reading a command line: argparse with one-line errors, experiment names, and `--config.key=value`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from canon.errors import UserError, did_you_mean


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `UserError` where the original prints its usage and exits.

    Args:
      verb: of `launch.py`.
      description: for its help.
      takes_config: fields of a config may be set beside the flags, see `split_overrides`.
    """

    def __init__(self, verb: str, description: str, takes_config: bool = False):
        super().__init__(
            prog=f"launch.py {verb}",
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._takes_config = takes_config

    def parse_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As the original, but the error for an unknown flag names the known one that is nearest to it.

        Raises:
          UserError: there is something that the verb does not take.
        """
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flag = next((word for word in unknown if word.startswith("-")), "").partition("=")[0]
            known = self._flags()
            nearest = did_you_mean(flag.lstrip("-"), known, lambda name: f"{known[name]} for {flag}") if flag else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{nearest}")
        return options

    def _flags(self) -> dict[str, str]:
        """By their names without dashes; those of a config's fields by the last part."""
        flags = {}
        if self._takes_config:
            from canon import config  # only this mistake needs it

            for key in config.flatten(config.default()):
                flags.setdefault(key.rpartition(".")[2], f"--config.{key}")
        return flags | {flag.lstrip("-"): flag for flag in self._option_string_actions if flag not in ("-h", "--help")}

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


@dataclass(frozen=True)
class Experiment:
    """An experiment file and the argument for it; `name` is the file's, without `.py`."""

    name: str
    path: Path
    argument: str


def find_experiment(text: str, experiments: Path) -> Experiment:
    """The experiment called NAME or NAME:ARGUMENT. Raises `UserError` where the folder has none of that name."""
    name, _, argument = text.partition(":")
    known = names(experiments)
    if name not in known:
        raise UserError(f"no experiment is called {name!r}{did_you_mean(name, known)} (there are: {', '.join(known)})")
    return Experiment(name, experiments / f"{name}.py", argument)


def experiment_file(text: str) -> Experiment:
    """The experiment in FILE or FILE:ARGUMENT."""
    file, _, argument = text.partition(":")
    return Experiment(Path(file).stem, Path(file), argument)


def choose_experiment(verb: str, name: str | None, file: str | None, experiments: Path) -> Experiment:
    """The experiment that a user names in either way. Raises `UserError` unless it is one of the two."""
    if (name is None) == (file is None):
        raise UserError(f"{verb} takes an experiment's name or --config=FILE, one of the two (see launch.py list)")
    return experiment_file(file) if name is None else find_experiment(name, experiments)


def names(experiments: Path) -> list[str]:
    """The experiments in the folder, sorted."""
    return sorted(path.stem for path in experiments.glob("*.py") if not path.stem.startswith("_"))


def split_overrides(arguments: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Takes `--config.key=value` and `--config.key value` out of a command line.

    Returns:
      The other arguments, and the overrides as (dotted key, text), in their order.

    Raises:
      UserError: a key stands without a value.
    """
    rest: list[str] = []
    overrides: list[tuple[str, str]] = []
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("--config."):
            rest.append(argument)
            continue
        key, equals, value = argument.removeprefix("--config.").partition("=")
        if not equals:
            value = next(remaining, "--")
            if value.startswith("--"):
                raise UserError(f"--config.{key} needs a value: --config.{key}=VALUE")
        overrides.append((key, value))
    return rest, overrides
