import io
from pathlib import Path

import pytest
from rich.console import Console

from canon.commands.progress import Clock, Progress, minutes
from canon.study.plan import Run
from canon.training.result import Result, write_result

RUNS = [Run(arm, seed, Path("w")) for seed in (0, 1) for arm in ("plain", "residual")]
ENDED = Result("finished", 100, {"train/error": 0.125, "test/error": 0.25}, seconds=30.0)
LINE = {"batch/loss": 1.5, "batch/error": 0.4, "speed/step_seconds": 0.1}


def watch(console, every=0.0):
    with Progress(RUNS, console, every) as progress:
        progress.run_began(RUNS[0], is_compiled=True)
        progress.started(0, 100)
        progress.recorded(50, LINE)
        progress.evaluating(50, "test", 10_000)
        progress.run_ended(RUNS[0], ENDED)
        progress.run_began(RUNS[1], is_compiled=True)
        progress.started(0, 100)
        progress.run_ended(RUNS[1], Result("diverged", 7, {"train/error": 1.0, "test/error": 1.0}))


def test_elsewhere_than_on_a_terminal_it_prints_plain_lines():
    output = io.StringIO()
    watch(Console(file=output, force_terminal=False))
    lines = output.getvalue().splitlines()
    assert "\x1b" not in output.getvalue()
    assert lines[1].startswith("plain seed 0: step 50 of 100, loss 1.500, error 40.0%; about 0:35 left")
    assert lines[2] == "plain seed 0: step 50, evaluating 10,000 test examples"
    assert lines[3].startswith("plain seed 0: finished after 0:30; train/error 12.50%, test/error 25.00%")
    assert "diverged at step 7" in lines[-1]


def test_it_says_of_which_run_the_network_is_compiled_first():
    output = io.StringIO()
    with Progress(RUNS, Console(file=output, force_terminal=False)) as progress:
        for run in RUNS:
            progress.run_began(run, is_compiled=run.seed > 0)
        for run in RUNS:
            progress.turned_to(run)
            progress.started(0, 100)
    compiled = [line for line in output.getvalue().splitlines() if "compiled" in line]
    assert compiled == [
        f"{arm} seed 0: begins; 100 steps; its network is compiled first" for arm in ("plain", "residual")
    ]


def test_of_a_run_that_went_on_it_says_that_its_time_is_of_all_launches():
    output = io.StringIO()
    with Progress(RUNS, Console(file=output, force_terminal=False)) as progress:
        progress.run_began(RUNS[0], is_compiled=True)
        progress.started(50, 100)
        progress.run_ended(RUNS[0], ENDED)
    assert "plain seed 0: finished after 0:30 in all launches;" in output.getvalue()


def test_plain_lines_come_now_and_then():
    output = io.StringIO()
    watch(Console(file=output, force_terminal=False), every=1000.0)
    assert not [line for line in output.getvalue().splitlines() if "step 50" in line]


def test_on_a_terminal_a_table_shows_every_run():
    output = io.StringIO()
    watch(Console(file=output, force_terminal=True, width=100))
    last = output.getvalue()
    for part in ("plain", "residual", "seed 0", "seed 1", "12.50%", "diverged"):
        assert part in last


def test_the_time_left_counts_an_arm_that_was_not_seen_like_the_others():
    clock = Clock(RUNS)
    assert clock.left() is None
    clock.began(RUNS[0])
    clock.saw("plain", 10.0)
    clock.did(RUNS[0], 0.5)
    assert clock.left() == pytest.approx(5 + 10 + 10 + 10)
    clock.ended(RUNS[0])
    clock.began(RUNS[1])
    clock.saw("residual", 30.0)
    assert clock.left() == pytest.approx(30 + 10 + 30)


def test_runs_of_an_arm_at_the_same_time_take_as_long_as_the_last_of_them():
    clock = Clock(RUNS)
    plain = [run for run in RUNS if run.arm == "plain"]
    for run, share in zip(plain, (0.5, 0.8), strict=True):
        clock.began(run)
        clock.did(run, share)
    clock.saw("plain", 10.0)
    assert clock.left() == pytest.approx(5 + 10)
    for run in plain:
        clock.did(run, 1.0)
    assert clock.left() == pytest.approx(10)
    for run in RUNS:
        clock.ended(run)
    assert clock.left() is None


def test_trials_at_the_same_time_are_those_of_one_fold():
    trials = [Run("plain", fold, Path("w"), candidate=name) for fold in (0, 1) for name in ("slow", "fast")]
    clock = Clock([*trials, Run("plain", 0, Path("w"))])
    for run in trials[:2]:
        clock.began(run)
    clock.saw("plain", 10.0)
    assert clock.left() == pytest.approx(10 + 10 + 10)


def test_runs_that_ended_before_take_no_time(tmp_path):
    runs = [Run("plain", seed, tmp_path / str(seed)) for seed in (0, 1)]
    runs[0].directory.mkdir()
    write_result(runs[0].directory, ENDED)
    output = io.StringIO()
    with Progress(runs, Console(file=output, force_terminal=False), every=0.0) as progress:
        progress.run_began(runs[1], is_compiled=True)
        progress.started(0, 100)
        progress.recorded(50, LINE)
    assert output.getvalue().splitlines()[-1].endswith("; about 0:05 left")


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (65.4, "1:05"), (7265, "2:01:05")])
def test_durations_read_like_a_clock(seconds, text):
    assert minutes(seconds) == text
