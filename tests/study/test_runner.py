import threading

import pytest

from canon.errors import UserError
from canon.study import runner
from canon.study.plan import runs
from canon.training.loop import Interrupted
from canon.training.program import Program


class Watcher(runner.Nobody):
    def __init__(self):
        self.began, self.ended = [], []

    def run_began(self, run, is_compiled):
        self.began.append(run)

    def run_ended(self, run, result):
        self.ended.append(run)


def test_a_stop_that_comes_as_a_run_ends_begins_no_other(tiny_study, tmp_path):
    planned, watcher = runs(tiny_study, tmp_path), Watcher()
    programs = runner.Programs(tiny_study, tmp_path)
    with pytest.raises(Interrupted):
        runner.run(planned, programs.build, watcher, should_stop=lambda: bool(watcher.ended))
    assert watcher.began == watcher.ended == planned[:1]


def test_a_stop_while_the_next_arm_is_compiled_begins_no_other(tiny_study, tmp_path, monkeypatch):
    with tiny_study.unlocked():
        tiny_study.parallel.devices = 1
    planned, watcher, compiling = runs(tiny_study, tmp_path), Watcher(), threading.Event()
    programs = runner.Programs(tiny_study, tmp_path)
    monkeypatch.setattr(Program, "compile", lambda self: compiling.wait(60) if watcher.began else None)
    stops = iter([False] * 13)  # after each of the first run's 12 steps, and then once while it is waited
    with pytest.raises(Interrupted, match="step 12"):
        runner.run(planned, programs.build, watcher, should_stop=lambda: next(stops, True))
    compiling.set()
    assert watcher.began == watcher.ended == planned[:1]
    assert not planned[1].directory.exists()


def test_runs_that_ended_before_are_told_of_first(tiny_study, tmp_path):
    planned, watcher = runs(tiny_study, tmp_path), Watcher()
    programs = runner.Programs(tiny_study, tmp_path)
    runner.run(planned[-1:], programs.build, Watcher())
    runner.run(planned, programs.build, watcher)
    assert watcher.began == watcher.ended == [planned[-1], *planned[:-1]]


@pytest.fixture
def compiled_ahead(monkeypatch):
    """The programs that are compiled ahead, in order."""
    programs = []
    monkeypatch.setattr(Program, "compile", lambda self: programs.append(self))
    return programs


def test_while_an_arm_is_trained_it_and_the_next_one_that_is_left_are_compiled(tiny_study, tmp_path, compiled_ahead):
    with tiny_study.unlocked():
        tiny_study.parallel.devices = 1
        tiny_study.seeds = 2
        tiny_study.arms.wider = {"model": {"hidden": (32,)}}
        tiny_study.arms.widest = {"model": {"hidden": (64,)}}
    programs, planned = runner.Programs(tiny_study, tmp_path), runs(tiny_study, tmp_path)
    wider = [run for run in planned if run.arm == "wider"]
    names = {id(programs.build(run)): run.arm for run in planned}
    runner.run(wider, programs.build, Watcher())
    assert [names[id(program)] for program in compiled_ahead] == ["wider"]
    compiled_ahead.clear()
    runner.run(planned, programs.build, Watcher())
    assert [names[id(program)] for program in compiled_ahead] == ["narrow", "wide", "widest"]


def test_an_arm_that_cannot_be_built_is_not_missed_before_its_turn(tiny_study, tmp_path, compiled_ahead):
    with tiny_study.unlocked():
        tiny_study.parallel.devices = 1
    programs, watcher = runner.Programs(tiny_study, tmp_path), Watcher()

    def build(run):
        if run.arm == "wide":
            raise UserError("no such arm")
        return programs.build(run)

    with pytest.raises(UserError, match="no such arm"):
        runner.run(runs(tiny_study, tmp_path), build, watcher)
    assert {run.arm for run in watcher.ended} == {"narrow"}
    assert len(compiled_ahead) == 1


def test_runs_of_one_arm_share_a_program(tiny_study, tmp_path):
    programs = runner.Programs(tiny_study, tmp_path)
    programs.check({"wide"})
    built = [(run.arm, programs.build(run)) for run in runs(tiny_study, tmp_path)]
    for arm, program in built:
        for other, another in built:
            assert (program is another) == (arm == other)


def test_a_claim_of_what_no_run_records_is_refused_before_anything_is_trained(tiny_study, tmp_path):
    with tiny_study.unlocked():
        tiny_study.claims.width.metric = "batch/gradient_nrm"
    with pytest.raises(UserError, match="claim width: the arm narrow records no .*did you mean gradient_norm"):
        runner.Programs(tiny_study, tmp_path).check(["narrow", "wide"])
    tiny_study.claims.width.metric = "first/gradient_norm"
    runner.Programs(tiny_study, tmp_path).check(["narrow", "wide"])
