from pathlib import Path

import pytest
from ml_collections import ConfigDict

from canon import config as canon_config
from canon import config_identity, models, overrides
from canon.errors import UserError
from canon.study import plan


def test_every_argument_of_every_model_can_be_held_and_overridden():
    for name in models.names():
        config = canon_config.default()
        config.model = ConfigDict({"name": name})
        section = plan.complete(config).model
        assert set(section) == {"name", *models.arguments(name)} - {"num_classes", "num_source_classes"}
        models.create(**section)


def test_an_argument_that_is_none_by_default_still_has_its_type():
    config = plan.complete(canon_config.default())
    overrides.override(config, "optimizer.clip_norm", "5")
    assert config.optimizer.clip_norm == 5.0
    with pytest.raises(UserError, match="takes a number"):
        overrides.override(config, "optimizer.clip_norm", "much")


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"name": "cifar_resnet", "dept": 20}, r"model cifar_resnet has no argument 'dept'; did you mean depth\?"),
        ({"name": "resnet"}, "no model is called 'resnet'; did you mean resnet"),
        ({"depth": 20}, "config.model needs a name, one of alexnet, "),
        ({"name": 3}, "config.model needs a name"),
        ({"name": "cifar_resnet", "depth": "deep"}, "config.model.depth takes a whole number, not 'deep'"),
    ],
)
def test_a_section_with_a_mistake_is_refused(section, reason):
    config = canon_config.default()
    config.model = ConfigDict(section)
    with pytest.raises(UserError, match=reason):
        plan.complete(config)


def test_an_arm_changes_what_it_names_and_nothing_else(tiny_study):
    configs = plan.arm_configs(tiny_study)
    assert config_identity.differences(configs["narrow"], configs["wide"]) == {"model.hidden": ((8,), (16,))}
    assert not {"arms", "claims", "seeds"} & set(configs["narrow"])


def test_an_arm_with_another_model_starts_from_that_models_defaults(tiny_config):
    changes = ConfigDict({"model": {"name": "cifar_resnet", "depth": 14}})
    expected = {"name": "cifar_resnet", **models.arguments("cifar_resnet"), "depth": 14}
    del expected["num_classes"]  # the data's
    assert plan.merge(tiny_config, changes).model.to_dict() == expected


def test_merging_leaves_the_original_alone(tiny_config):
    before = tiny_config.to_dict()
    merged = plan.merge(tiny_config, ConfigDict({"optimizer": {"clip_norm": 1.0}, "train": {"steps": 5}}))
    assert merged.optimizer.clip_norm == 1.0
    assert tiny_config.to_dict() == before


def test_an_arm_can_be_given_any_field_that_a_run_has(tiny_study):
    config = plan.override(tiny_study, "arms.narrow.schedule.learning_rate", "0.5")
    config = plan.override(config, "arms.wide.model.hidden", "(3,)")
    config = plan.override(config, "arms.narrow.optimizer.clip_norm", "2")
    arms = plan.arm_configs(config)
    assert (arms["narrow"].schedule.learning_rate, arms["wide"].schedule.learning_rate) == (0.5, 0.1)
    assert (arms["narrow"].optimizer.clip_norm, arms["wide"].optimizer.clip_norm) == (2.0, None)
    assert arms["wide"].model.hidden == (3,)


def test_an_arm_can_be_given_another_model_and_its_arguments(tiny_study):
    config = plan.override(tiny_study, "arms.wide.model.name", "cifar_resnet")
    config = plan.override(config, "arms.wide.model.depth", "14")
    arms = plan.arm_configs(config)
    assert (arms["wide"].model.name, arms["wide"].model.depth, arms["wide"].model.shortcut) == ("cifar_resnet", 14, "A")
    assert "hidden" not in arms["wide"].model
    assert arms["narrow"].model.name == "mlp"


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("arms.narow.model.hidden", "(3,)", "no arm is called 'narow'; did you mean narrow"),
        ("arms.narrow.model.hiden", "(3,)", "no field 'model.hiden'; did you mean model.hidden"),
        ("arms.narrow.train.steps", "few", "takes a whole number"),
        ("arms.narrow", "3", "no field ''"),
        ("arms", "3", "no arm is called ''"),
        ("arms.narrow.seeds", "3", "no field 'seeds'"),
    ],
)
def test_an_override_of_an_arm_with_a_mistake_is_refused(tiny_study, key, text, reason):
    with pytest.raises(UserError, match=reason):
        plan.override(tiny_study, key, text)


@pytest.mark.parametrize(
    ("arms", "reason"),
    [
        ({}, "has no arms"),
        ({"a/b": {}}, "cannot be called"),
        ({"-a": {}}, "cannot be called '-a'"),
        ({"a b": {}}, "cannot be called"),
        ({"a": {"modle": {"hidden": (3,)}}}, "arm a: config has no field 'modle'; did you mean model"),
        ({"a": {"model": {"hiden": (3,)}}}, "arm a: model mlp has no argument 'hiden'; did you mean hidden"),
        ({"a": {"train": {"stpes": 3}}}, "arm a: config has no field 'train.stpes'; did you mean .*steps"),
        ({"a": {"train": 3}}, "arm a: config.train is a section"),
        ({"a": {"train": {"steps": "x"}}}, "arm a: config.train.steps takes a whole number, not 'x'"),
        ({"a": {"seeds": 3}}, "arm a: config has no field 'seeds'"),
        ({"a": 3}, "config.arms.a takes the fields"),
        ({"a": {"model": {"hidden": (8.5,)}}}, "arm a: config.model.hidden takes a tuple of whole numbers"),
        ({"a": {"model": {"hidden": ("a",)}}}, "arm a: config.model.hidden takes a tuple of whole numbers"),
        ({"a": {"schedule": {"learning_rate": float("nan")}}}, "arm a: config.schedule.learning_rate takes a number"),
        ({"a": {"model": {"hidden": None}}}, "arm a: config.model.hidden cannot be None"),
    ],
)
def test_an_arm_with_a_mistake_is_refused(tiny_config, arms, reason):
    with tiny_config.unlocked():
        tiny_config.arms = ConfigDict(arms)
    with pytest.raises(UserError, match=reason):
        plan.arm_configs(tiny_config)


def test_runs_come_seed_by_seed_so_that_a_part_can_be_compared(tiny_study):
    runs = plan.runs(tiny_study, Path("w"))
    assert [(run.arm, run.seed) for run in runs[:4]] == [("narrow", 0), ("wide", 0), ("narrow", 1), ("wide", 1)]
    assert runs[2].directory == Path("w/narrow/seed-1")
    assert len(runs) == 6


@pytest.mark.parametrize("seeds", [0, -1])
def test_no_seeds_is_refused(tiny_study, seeds):
    tiny_study.seeds = seeds
    with pytest.raises(UserError, match="config.seeds must be at least 1"):
        plan.runs(tiny_study, Path("w"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"higher": "narow"}, "claim width: no arm is called 'narow'; did you mean narrow"),
        ({"metric": "test/eror"}, "no metric 'test/eror'; did you mean test/error"),
        ({"metric": "validation/error"}, "no metric 'validation/error'"),
        ({"tolerance": -0.1}, "tolerance must be at least 0"),
        ({"tolerance": float("inf")}, "claim width: tolerance takes a number"),
        ({"statemnt": "x"}, "claim width: make it with canon.config.claim"),
    ],
)
def test_a_claim_with_a_mistake_is_refused(tiny_study, changes, reason):
    with tiny_study.unlocked():
        for key, value in changes.items():
            tiny_study.claims.width[key] = value
    with pytest.raises(UserError, match=reason):
        plan.check_claims(tiny_study)


def test_a_claim_on_validation_is_possible_where_there_is_one(tiny_study):
    tiny_study.data.validation_examples = 100
    tiny_study.claims.width.metric = "validation/error"
    plan.check_claims(tiny_study)


@pytest.mark.parametrize("panels", [(5,), ("narrow",), (("narrow", 3),)])
def test_panels_that_are_no_panels_are_refused(tiny_study, panels):
    tiny_study.figure.panels = panels
    with pytest.raises(UserError, match="config.figure.panels takes a tuple of tuples"):
        plan.check_claims(tiny_study)


@pytest.mark.parametrize("limit", [0.0, -5.0, 101.0])
def test_an_axis_that_cannot_be_drawn_is_refused(tiny_study, limit):
    tiny_study.figure.error_limit = limit
    with pytest.raises(UserError, match="error_limit"):
        plan.check_claims(tiny_study)


def test_a_panel_of_an_unknown_arm_is_refused(tiny_study):
    tiny_study.figure.panels = (("narrow", "wid"),)
    with pytest.raises(UserError, match="figure.panels: no arm is called 'wid'; did you mean wide"):
        plan.check_claims(tiny_study)
