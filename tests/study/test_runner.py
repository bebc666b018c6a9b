import pytest

from canon.errors import UserError
from canon.study import runner
from canon.study.plan import runs
from canon.training.loop import Interrupted


class Watcher(runner.Nobody):
    def __init__(self):
        self.began, self.ended = [], []

    def run_began(self, run):
        self.began.append(run)

    def run_ended(self, run, result):
        self.ended.append(run)


def test_a_stop_that_comes_as_a_run_ends_begins_no_other(tiny_study, tmp_path):
    planned, watcher = runs(tiny_study, tmp_path), Watcher()
    programs = runner.Programs(tiny_study, tmp_path)
    with pytest.raises(Interrupted):
        runner.run(planned, programs.build, watcher, should_stop=lambda: bool(watcher.ended))
    assert watcher.began == watcher.ended == planned[:1]


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
