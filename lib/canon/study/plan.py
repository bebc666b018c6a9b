"""What a study's config asks for: complete configs for its arms, its runs in order, and its claims."""

import copy
import inspect
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from canon import catalog, overrides
from canon import config as canon_config
from canon.errors import UserError, did_you_mean
from canon.losses import LOSSES
from canon.models import MODELS
from canon.optimizers import OPTIMIZERS
from canon.schedules import SCHEDULES
from canon.training import measures
from canon.training.result import STEPS_TO_TARGET

# The sections that name an entry of a catalog: the catalog, and the arguments that the program gives, not the config.
NAMED_SECTIONS = {
    "model": (MODELS, ("num_classes", "num_source_classes")),
    "optimizer": (OPTIMIZERS, ("learning_rate",)),
    "schedule": (SCHEDULES, ("steps",)),
    "loss": (LOSSES, ("outputs", "labels")),
}

# The fields that a single run is made of. The others describe the study.
RUN_FIELDS = ("task", *NAMED_SECTIONS, "data", "augment", "train", "parallel")

RECORDED = ("batch/", "first/")
"""What the names of recorded metrics begin with: those of the last line, and of the first."""

_WATCHED_BY = {"gradient_norm": "gradients", "saturation": "activity", "dead": "activity"}

_TAKEN = ("figures", "jobs", "lock")

MOST_SEEDS = 100_000
"""Of an arm; trials have seeds from a million on."""

# An arm's name is a folder's name, in the workdir and in the report.
ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")


@dataclass(frozen=True)
class Run:
    """One arm with one seed, and its folder; or a trial of a candidate, whose seed is that of its fold.

    Attributes:
      arm: its name.
      seed: of every random number.
      directory: its folder.
      candidate: of a trial; empty for a run of the arm itself.
    """

    arm: str
    seed: int
    directory: Path
    candidate: str = ""

    @property
    def title(self) -> str:
        """As people call it."""
        return (
            f"{self.arm} with {self.candidate}, fold {self.seed}" if self.candidate else f"{self.arm} seed {self.seed}"
        )


def complete(config: ConfigDict) -> ConfigDict:
    """A copy of `config` in which each named section has every argument of its entry, so that all can be overridden.

    Raises:
      UserError: a section names something that does not exist, or gives an argument that it does not have.
    """
    config = copy.deepcopy(config)
    with config.unlocked():
        for kind in NAMED_SECTIONS:
            config[kind] = _complete_section(kind, config[kind])
    return config.lock()


def _complete_section(kind: str, given: ConfigDict) -> ConfigDict:
    table, own = NAMED_SECTIONS[kind]
    if not isinstance(given.get("name"), str):
        raise UserError(f"config.{kind} needs a name, one of {', '.join(sorted(table))}")
    factory = catalog.look_up(kind, table, given["name"])
    known = {a: _field(factory, a, value) for a, value in catalog.arguments(factory).items() if a not in own}
    section = ConfigDict({"name": given["name"], **known})
    for argument in given:
        if argument not in section:
            raise UserError(_no_argument(kind, section, argument))
        _set(section, argument, given[argument], f"{kind}.{argument}")
    return section


def _no_argument(kind: str, section: ConfigDict, argument: str) -> str:
    known = [key for key in section if key != "name"]
    nearest = did_you_mean(argument, known)
    return f"{kind} {section.name} has no argument {argument!r}{nearest} (it has: {', '.join(known)})"


def _field(factory: Any, argument: str, default: Any) -> Any:
    """What a config holds for an argument: its default, or a typed placeholder where that is None."""
    if default is inspect.Parameter.empty:
        raise UserError(f"{factory.__name__}: the argument {argument!r} has no default, so no config can hold it")
    if default is not None:
        return default
    hint = typing.get_type_hints(factory)[argument]
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return placeholder(next(option for option in options if option is not type(None)))


def _set(section: ConfigDict, key: str, value: Any, dotted: str) -> None:
    if value is not None:
        example = section[key] if section[key] is not None else section.get_type(key)()
        section[key] = canon_config.check_value(f"config.{dotted}", value, example)
    elif section[key] is not None:
        raise UserError(f"config.{dotted} cannot be None")


def merge(config: ConfigDict, changes: ConfigDict, prefix: str = "") -> ConfigDict:
    """A copy of the complete `config` with the fields of `changes`, which may be nested as it is.

    Where `changes` names another model, optimizer, schedule or loss than the config does, that section starts afresh
    from the defaults of the one it names: the arguments of the old one mean nothing to it.

    Raises:
      UserError: a field does not exist, or a value is not of its type.
    """
    config = copy.deepcopy(config)
    with config.unlocked():
        for key in changes:
            if key not in config:
                if prefix.rstrip(".") in NAMED_SECTIONS:
                    raise UserError(_no_argument(prefix.rstrip("."), config, key))
                known = [*config, *canon_config.flatten(config)]
                raise UserError(f"config has no field {prefix + key!r}{did_you_mean(key, known)}")
            if not isinstance(config[key], ConfigDict):
                _set(config, key, changes[key], prefix + key)
            elif not isinstance(changes[key], ConfigDict):
                raise UserError(f"config.{prefix}{key} is a section, and takes fields, not {changes[key]!r}")
            elif (
                not prefix and key in NAMED_SECTIONS and changes[key].get("name", config[key].name) != config[key].name
            ):
                config[key] = _complete_section(key, changes[key])
            else:
                config[key] = merge(config[key], changes[key], prefix=f"{prefix}{key}.")
    return config.lock()


def override(config: ConfigDict, key: str, text: str) -> ConfigDict:
    """A copy of the complete `config` with the field `key` set to `text`, as a command line gives them.

    Besides plain fields it knows the name of a model, optimizer, schedule or loss (see `merge`), and `arms.ARM.FIELD`,
    where the field may be any that a run has, whether the arm changed it before or not.

    Raises:
      UserError: there is no such field or arm, or the text is not of the field's type.
    """
    section, _, field = key.partition(".")
    if section in NAMED_SECTIONS and field == "name":
        return merge(config, ConfigDict({section: {"name": text}}))
    config = copy.deepcopy(config)
    if section != "arms":
        overrides.override(config, key, text)
        return config
    arm, _, field = field.partition(".")
    check_arm(config, arm)
    if field.partition(".")[0] not in RUN_FIELDS:
        nearest = canon_config.nearest_field(field, ConfigDict({name: config[name] for name in RUN_FIELDS}))
        raise UserError(f"an arm has no field {field!r}{nearest}")
    changed = override(arm_configs(config)[arm], field, text)
    *parents, last = field.split(".")
    with config.unlocked():
        changes = config.arms[arm]
        if parents and parents[0] in NAMED_SECTIONS and last == "name":
            changes[parents[0]] = ConfigDict()
        for parent in parents:
            if parent not in changes:
                changes[parent] = ConfigDict()
            changes, changed = changes[parent], changed[parent]
        changes[last] = changed[last]
    return config


def check_arm(config: ConfigDict, arm: str) -> None:
    """Raises `UserError` unless the study has an arm of that name."""
    if arm not in config.arms:
        nearest = did_you_mean(arm, config.arms)
        raise UserError(f"no arm is called {arm!r}{nearest} (there are: {', '.join(config.arms)})")


def check_name(what: str, name: str) -> None:
    """Raises `UserError` unless a folder can have this name."""
    if not ARM_NAME.fullmatch(name):
        raise UserError(f"{what} cannot be called {name!r}: a folder has its name; use letters, digits and . _ + = -")
    if name in _TAKEN:
        raise UserError(f"{what} cannot be called {name!r}: the workdir has something else of that name")


def arm_configs(config: ConfigDict) -> dict[str, ConfigDict]:
    """The config of every arm's runs, by the arm's name, in the study's order.

    Raises:
      UserError: there are no arms, a name cannot be a folder's, or an arm changes what does not exist.
    """
    if not config.arms:
        raise UserError("the study has no arms: set config.arms to a dict from names to the fields that they change")
    base = ConfigDict({field: config[field] for field in RUN_FIELDS}).lock()
    configs = {}
    for name, changes in config.arms.items():
        if not isinstance(changes, ConfigDict):
            raise UserError(f"config.arms.{name} takes the fields that the arm changes, not {changes!r}")
        check_name("an arm", name)
        try:
            configs[name] = merge(base, changes)
        except UserError as error:
            raise UserError(f"arm {name}: {error}") from error
    return configs


def runs(config: ConfigDict, workdir: Path) -> list[Run]:
    """Every run of the study. All arms run with one seed before the next one, so that a part of it can be compared."""
    if not 1 <= config.seeds <= MOST_SEEDS:
        raise UserError(f"config.seeds must be at least 1 and at most {MOST_SEEDS:,}, not {config.seeds:,}")
    return [Run(arm, seed, workdir / arm / f"seed-{seed}") for seed in range(config.seeds) for arm in config.arms]


def check_claims(config: ConfigDict) -> None:
    """Raises `UserError` unless every claim, and the figure, speaks of arms and metrics that exist."""
    splits = ["train"] + ["test"] * bool(config.data.test_split)
    held_out = config.data.validation_examples or config.data.folds
    if config.data.validation_split or (held_out and not config.candidates):  # runs get back what trials miss
        splits.append("validation")
    metrics = [f"{split}/{name}" for split in splits for name in measures.names(config.task, split)]
    metrics += [STEPS_TO_TARGET] * bool(config.train.target_error)
    template = canon_config.claim(statement="", higher="", lower="")
    for name, claim in config.claims.items():
        if not isinstance(claim, ConfigDict) or set(claim) != set(template):
            raise UserError(f"claim {name}: make it with canon.config.claim(...), which has {', '.join(template)}")
        for field in template:
            canon_config.check_value(f"claim {name}: {field}", claim[field], template[field])
        for arm in (claim.higher, claim.lower):
            if arm not in config.arms:
                raise UserError(f"claim {name}: no arm is called {arm!r}{did_you_mean(arm, config.arms)}")
        if claim.metric not in metrics and not claim.metric.startswith(RECORDED):
            raise UserError(
                f"claim {name}: no metric {claim.metric!r}{did_you_mean(claim.metric, metrics)} "
                f"(there are: {', '.join(metrics)}, and {' and '.join(RECORDED)} with what is recorded)"
            )
        kind = claim.metric.split("/")[1] if claim.metric.startswith(RECORDED) else ""
        if (needed := _WATCHED_BY.get(kind)) and needed not in config.train.watch:
            raise UserError(f"claim {name}: {claim.metric} is recorded with --config.train.watch={needed}")
        if not claim.tolerance >= 0:
            raise UserError(f"claim {name}: the tolerance must be at least 0, not {claim.tolerance}")
        if claim.ratio and claim.tolerance:
            raise UserError(f"claim {name}: a tolerance is in the metric's own unit, and does not go with ratio=True")
    for panel in config.figure.panels:
        canon_config.check_value("config.figure.panels", (panel,), (("",),))
        for arm in panel:
            if arm not in config.arms:
                raise UserError(f"config.figure.panels: no arm is called {arm!r}{did_you_mean(arm, config.arms)}")
    drawable = measures.names(config.task, "test")
    if config.figure.metric not in drawable:
        raise UserError(f"config.figure.metric must be one of {', '.join(drawable)}, not {config.figure.metric!r}")
    if not 0 < config.figure.error_limit <= 100:
        raise UserError(f"config.figure.error_limit must be above 0 and at most 100, not {config.figure.error_limit}")
