import copy

import pytest

from canon import config_identity
from canon.errors import UserError
from canon.study import workdir
from canon.study.workdir import Study


@pytest.fixture
def study(tiny_study):
    return Study("toy", "", tiny_study, None, "launch.py run toy")


def contents(folder):
    return sorted((path, path.read_bytes() if path.is_file() else None) for path in folder.rglob("*"))


def test_a_study_is_read_back_as_it_was(study, tmp_path):
    workdir.create(tmp_path / "w", study)
    back = workdir.read(tmp_path / "w")
    assert (back.experiment, back.argument, back.protocol, back.command) == ("toy", "", None, "launch.py run toy")
    assert back.config.to_dict() == study.config.to_dict()


def test_its_own_workdir_is_welcome_again(study, tmp_path):
    workdir.create(tmp_path / "w", study)
    workdir.check(tmp_path / "w", study.config)


def test_another_config_is_refused_with_what_differs_and_nothing_is_touched(study, tmp_path):
    workdir.create(tmp_path / "w", study)
    before = contents(tmp_path)
    study.config.train.steps = 99
    with pytest.raises(UserError, match="another config .*train.steps: 12 there, 99 now"):
        workdir.check(tmp_path / "w", study.config)
    assert contents(tmp_path) == before


def test_a_study_comes_back_with_more_seeds_or_its_data_elsewhere_but_not_with_fewer(study, tmp_path):
    workdir.create(tmp_path / "w", study)
    study.config.seeds = 9
    study.config.data.data_dir = "elsewhere"
    workdir.check(tmp_path / "w", study.config)
    workdir.create(tmp_path / "w", study)
    assert workdir.read(tmp_path / "w").config.seeds == 9
    study.config.seeds = 3
    with pytest.raises(UserError, match="seeds: 9 there, 3 now"):
        workdir.check(tmp_path / "w", study.config)


def test_a_study_comes_back_with_its_seeds_trained_in_another_way_to_the_same_bits(study, tmp_path):
    workdir.create(tmp_path, study)
    config = copy.deepcopy(study.config)
    for way, is_same in (("concurrent", True), ("unroll", True), ("vmap", False)):
        with config.unlocked():
            config.parallel.seeds = way
        assert (config_identity.digest(config) == config_identity.digest(study.config)) == is_same
        if is_same:
            workdir.check(tmp_path, config)
        else:
            with pytest.raises(UserError, match="parallel.seeds: 'sequential' there, 'vmap' now"):
                workdir.check(tmp_path, config)


def test_a_name_that_no_disk_takes_is_refused(study, tmp_path):
    with pytest.raises(UserError, match="cannot be used: File name too long"):
        workdir.check(tmp_path / ("x" * 300), study.config)


def test_a_folder_of_something_else_is_refused_and_not_touched(study, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    before = contents(tmp_path)
    with pytest.raises(UserError, match="not empty and holds no study"):
        workdir.check(tmp_path, study.config)
    assert contents(tmp_path) == before


def test_a_folder_in_which_a_launch_was_killed_before_it_had_said_what_it_is_for_can_be_used(study, tmp_path):
    (tmp_path / ".study.json.123.tmp").write_text("{")
    workdir.check(tmp_path, study.config)


@pytest.mark.parametrize("path", ["file", "file/below", "file/far/below"])
def test_a_workdir_that_cannot_be_made_is_refused(study, tmp_path, path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="workdir"):
        workdir.check(tmp_path / path, study.config)
    with pytest.raises(UserError, match="cannot be written"):
        workdir.create(tmp_path / path, study)


def test_checking_makes_nothing(study, tmp_path):
    workdir.check(tmp_path / "new" / "deep", study.config)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"experiment": "toy"}', "null"])
def test_a_study_file_that_is_damaged_is_named(study, tmp_path, text):
    (tmp_path / workdir.STUDY_FILE).write_text(text)
    with pytest.raises(UserError, match=r"study\.json cannot be read"):
        workdir.read(tmp_path)


def test_a_folder_that_is_no_study_or_no_run_says_so(tmp_path):
    with pytest.raises(UserError, match="not the workdir of a study"):
        workdir.read(tmp_path)
    with pytest.raises(UserError, match="not the folder of a run"):
        workdir.read_run_config(tmp_path)


def test_a_runs_config_is_read_back(study, tmp_path):
    workdir.write_run_config(tmp_path / "r", "narrow", 2, study.config)
    arm, seed, config = workdir.read_run_config(tmp_path / "r")
    assert (arm, seed, config.to_dict()) == ("narrow", 2, study.config.to_dict())
