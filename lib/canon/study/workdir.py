"""The folder of a study: which study it belongs to, and what its runs have left there.

WORKDIR/study.json                       the study: experiment, argument, config, the paper's own config
WORKDIR/ARM/seed-N/config.json           the config of one run
WORKDIR/ARM/seed-N/text.json             of texts: what their tokens mean, in the order of their numbers; checksums
WORKDIR/ARM/seed-N/metrics.jsonl         what it recorded, a line a step
WORKDIR/ARM/seed-N/result.json           how it ended; missing while it has not
WORKDIR/ARM/seed-N/checkpoints/          through Orbax
WORKDIR/verdict.json, report.html, figures/
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from canon import config as canon_config
from canon import config_identity, files, lock
from canon.data.words import SPECIAL
from canon.errors import UserError
from canon.study import plan
from canon.training.result import RESULT_FILE

STUDY_FILE = "study.json"
RUN_FILE = "config.json"
TEXT_FILE = "text.json"


@dataclass(frozen=True)
class Study:
    """What a workdir is about.

    Attributes:
      experiment: the experiment's name.
      argument: what stood after the colon; may be empty.
      config: complete, with all overrides.
      protocol: the config of the paper's own protocol, or None where the experiment names none.
      command: what a user types to get this study, apart from the workdir.
    """

    experiment: str
    argument: str
    config: ConfigDict
    protocol: ConfigDict | None
    command: str


def check(workdir: Path, config: ConfigDict) -> None:
    """Raises `UserError` unless a study of `config` can go into `workdir`: new or empty, or its own from before.

    A study may come back with more seeds, with its data in another place, and keep more or less of its checkpoints: the
    runs that are there remain its own.
    It writes nothing.
    """
    try:
        _check(workdir, config)
    except OSError as error:
        raise UserError(f"--workdir {workdir} cannot be used: {error.strerror}") from error


def _check(workdir: Path, config: ConfigDict) -> None:
    if (workdir / STUDY_FILE).exists():
        study = read(workdir)
        there = study.config
        before, now = config_identity.with_effect(there), config_identity.with_effect(config)
        different = config_identity.differences(there, config)
        different = {key: values for key, values in different.items() if before.get(key) != now.get(key)}
        if config.seeds >= there.seeds:
            different.pop("seeds", None)
        if different:
            shown = [f"{key}: {old!r} there, {new!r} now" for key, (old, new) in list(different.items())[:3]]
            more = f", and {len(different) - 3} more" if len(different) > 3 else ""
            raise UserError(
                f"{workdir} holds a study of another config ({'; '.join(shown)}{more}); "
                f"give another --workdir, or go on with the study that is there: {study.command}"
            )
    elif workdir.exists() or workdir.is_symlink():
        if not workdir.is_dir():
            raise UserError(f"--workdir {workdir} is not a folder")
        if any(path.name != lock.FILE and not files.is_left_of(path, STUDY_FILE) for path in workdir.iterdir()):
            raise UserError(f"{workdir} is not empty and holds no study of canon's; give another --workdir")
    parent = next(p for p in (workdir, *workdir.absolute().parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"--workdir {workdir} cannot be written: {parent} is not a folder that you may write to")


def create(workdir: Path, study: Study) -> None:
    """Makes the workdir and says in it what it is for. Raises `UserError` where the disk refuses."""
    if (workdir / STUDY_FILE).exists() and not config_identity.differences(read(workdir).config, study.config):
        return
    content = {
        "experiment": study.experiment,
        "argument": study.argument,
        "command": study.command,
        "config": json.loads(canon_config.to_json(study.config)),
        "protocol": study.protocol and json.loads(canon_config.to_json(study.protocol)),
    }
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        files.write_json(workdir / STUDY_FILE, content)
    except OSError as error:
        raise UserError(f"--workdir {workdir} cannot be written: {error.strerror}") from error


def fingerprint(workdir: Path) -> str:
    """Something of the workdir that processes which see the same one agree on: the study in it, and what has ended."""
    try:
        of_study = (workdir / STUDY_FILE).read_text()
    except OSError:
        of_study = ""
    ended = sorted(str(path.relative_to(workdir)) for path in workdir.glob(f"**/seed-*/{RESULT_FILE}"))
    return "\n".join([of_study, str(_identity(workdir)), *ended])


def _identity(workdir: Path) -> float:
    """When the study was written, which two that were made alike do not share."""
    try:
        return (workdir / STUDY_FILE).stat().st_mtime
    except OSError:
        return 0.0


def read(workdir: Path) -> Study:
    """The study that a workdir holds. Raises `UserError` where it holds none, or none that can be read."""
    path = workdir / STUDY_FILE
    if not path.is_file():
        raise UserError(f"{workdir} is not the workdir of a study: it has no {STUDY_FILE}")
    try:
        content = json.loads(path.read_text())
        study = Study(
            experiment=content["experiment"],
            argument=content["argument"],
            config=canon_config.from_json(json.dumps(content["config"])),
            protocol=content["protocol"] and canon_config.from_json(json.dumps(content["protocol"])),
            command=content["command"],
        )
        canon_config.check(study.config)
        return study
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read as a study: {type(error).__name__}: {error}") from error


def write_run_config(directory: Path, arm: str, seed: int, config: ConfigDict) -> None:
    """Says in a run's folder which run it is."""
    directory.mkdir(parents=True, exist_ok=True)
    content = {"arm": arm, "seed": seed, "config": json.loads(canon_config.to_json(config))}
    files.write_json(directory / RUN_FILE, content)


Vocabularies = Mapping[str, tuple[str, ...]]
"""By name, tokens in the order of their numbers: `characters`; or `source` and `target`, which are words."""


def keep_text(directory: Path, vocabularies: Vocabularies, checksums: Mapping[str, int]) -> None:
    """Keeps in a run's folder what its tokens mean, and the checksums of its texts; errors as of `check_text`."""
    path = directory / TEXT_FILE
    if path.exists():
        check_text(directory, vocabularies, checksums)
    else:
        tokens = {name: list(tokens) for name, tokens in vocabularies.items()}
        files.write_json(path, tokens | {_CHECKSUMS: dict(checksums)})


def check_text(directory: Path, vocabularies: Vocabularies, checksums: Mapping[str, int]) -> None:
    """Raises `UserError` where a run in `directory` learned another text."""
    kept, its_checksums = _read_text(directory)
    every = sorted(its_checksums.keys() | checksums.keys())
    changed = [split for split in every if its_checksums.get(split) != checksums.get(split)]
    if kept != vocabularies or changed:
        which = f"the {changed[0]} text is" if changed else "its vocabulary is"
        raise UserError(
            f"{directory} learned another text: {which} not what the run began with (a file that was changed, or "
            "another version of Python); bring that text back, or give another --workdir"
        )


def read_vocabularies(directory: Path) -> Vocabularies:
    """The vocabularies of a run. Raises `UserError` where it has none, or none that can be read."""
    return _read_text(directory)[0]


_CHECKSUMS = "crc32"


def _read_text(directory: Path) -> tuple[Vocabularies, dict[str, int]]:
    path = directory / TEXT_FILE
    if not path.is_file():
        raise UserError(f"{directory} is no run of a text: it has no {TEXT_FILE}")
    try:
        content = json.loads(path.read_text())
        checksums = dict(content.pop(_CHECKSUMS))
        for name, tokens in content.items():
            is_list = isinstance(tokens, list) and all(isinstance(t, str) and t for t in tokens)
            if not is_list or len(tokens) != len(set(tokens)):
                raise ValueError("a vocabulary names each of its tokens once")
            if name != "characters" and tuple(tokens[: len(SPECIAL)]) != SPECIAL:
                raise ValueError(f"a vocabulary of words begins with {', '.join(SPECIAL)}")
            if name == "characters" and (tokens != sorted(tokens) or max(map(len, tokens)) > 1):
                raise ValueError("not characters in their order")
        return {name: tuple(tokens) for name, tokens in content.items()}, checksums
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def read_run_config(directory: Path) -> tuple[str, int, ConfigDict]:
    """(arm, seed, config) of the run in a folder. Raises `UserError` where it is none, or none that can be read."""
    path = directory / RUN_FILE
    if not path.is_file():
        raise UserError(f"{directory} is not the folder of a run: it has no {RUN_FILE} (it is WORKDIR/ARM/seed-N)")
    try:
        content = json.loads(path.read_text())
        config = canon_config.from_json(json.dumps(content["config"]))
        canon_config.check(ConfigDict({**canon_config.default(), **config}))  # a run has a part of a study's fields
        if missing := set(plan.RUN_FIELDS) - set(config):
            raise KeyError(*sorted(missing))
        return content["arm"], content["seed"], config
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read as a run: {type(error).__name__}: {error}") from error
