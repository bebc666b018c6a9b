"""The runs of a study in jobs: divided, waited for, stopped, and queued again."""

import json
import os
import signal
from pathlib import Path

import pytest
from ml_collections import ConfigDict
from tests.processes import wait_for

from canon.cluster import Resources
from canon.commands import spread
from canon.study import plan, runner
from canon.study.plan import runs


def names(jobs):
    return [[f"{run.arm} {run.seed}" for run in job] for job in jobs]


def test_each_run_is_a_job_but_where_runs_wait_for_each_other(tiny_study, tmp_path):
    with tiny_study.unlocked():
        tiny_study.seeds = 2
        tiny_study.arms.narrow.parallel = ConfigDict({"seeds": "concurrent"})
        tiny_study.arms.wide.parallel = ConfigDict({"seeds": "unroll"})
    jobs = spread.divide(tiny_study, runs(tiny_study, tmp_path))
    assert names(jobs) == [["narrow 0"], ["wide 0", "wide 1"], ["narrow 1"]]
    with tiny_study.unlocked():
        tiny_study.candidates = ConfigDict({"slow": {"schedule": {"learning_rate": 0.01}}})
        tiny_study.selection.folds = 2
    jobs = spread.divide(tiny_study, runner.planned(tiny_study, tmp_path, ["narrow", "wide"]))
    assert names(jobs) == [[f"{arm} {i}" for i in (0, 1, 0, 1)] for arm in ("narrow", "wide")]


def test_the_number_of_devices_is_for_the_jobs_to_check(tiny_study):
    with tiny_study.unlocked():
        tiny_study.parallel.devices = 64
        tiny_study.arms.wide.parallel = ConfigDict({"devices": 32, "seeds": "vmap"})
    here = spread.on_any_device(tiny_study)
    assert [arm.parallel.devices for arm in plan.arm_configs(here).values()] == [1, 1]
    assert plan.arm_configs(here)["wide"].parallel.seeds == "vmap"
    assert tiny_study.parallel.devices == 64


class Queue:
    """Jobs that end at once, having left what `words` says."""

    slots, lag = 2, 0.0

    def __init__(self, folder, words):
        self.folder, self.words, self.submitted = folder, words, []

    def submit(self, tasks):
        ids = [str(len(self.submitted) + i) for i in range(len(tasks))]
        self.submitted += tasks
        for job in ids:
            if self.words is not None:
                (self.folder / f"{job}_0_log.err").write_text(self.words)
        return ids

    def living(self):
        return set()

    def leave(self, ids):
        return "left"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (None, "job 0 has ended without a word"),
        ("canon: the disk is full\ncanon: no data set\nINFO: done\n", "no data set (job 0"),
        ("Traceback\n\nMemoryError: 7\n\n", "MemoryError: 7 (job 0"),
    ],
)
def test_a_job_that_ends_before_its_run_is_named_with_its_last_words(
    tiny_study, tmp_path, monkeypatch, capsys, words, reason
):
    (tmp_path / "jobs").mkdir()
    queue = Queue(tmp_path / "jobs", words)
    monkeypatch.setattr(spread.cluster, "executor", lambda *_: queue)
    failures = spread.train(tiny_study, "width", tmp_path, runs(tiny_study, tmp_path), Resources("local"))
    assert len(queue.submitted) == len(failures) == 2 * tiny_study.seeds
    assert failures[0].startswith("narrow/seed-0: ")
    assert reason in failures[0]
    assert failures[0] in capsys.readouterr().out
    book = json.loads((tmp_path / "jobs" / "jobs.json").read_text())
    assert book["local"]["1"] == ["wide/seed-0"]


def results(workdir):
    return {
        path.parent.relative_to(workdir): json.loads(path.read_text())["metrics"]
        for path in sorted(workdir.glob("*/seed-*/result.json"))
    }


def test_a_study_in_jobs_ends_as_one_process_ends_it(tmp_path, launch_width):
    output, errors = launch_width("", "alone", "--config.seeds=1").communicate(timeout=240)
    assert "verdict: " in output, errors
    spread_out = launch_width("", "jobs", "--config.seeds=1", "--executor=local", "--at_once=2")
    output, errors = spread_out.communicate(timeout=240)
    assert spread_out.returncode == 0, errors
    assert "wide seed 0: finished" in output
    assert "verdict: " in output
    assert len(results(tmp_path / "jobs")) == 2
    assert results(tmp_path / "jobs") == results(tmp_path / "alone")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for a job's process where Linux lists them")
def test_a_job_is_queued_again_when_its_time_is_up_and_saved_when_nobody_waits(tmp_path, launch_width):
    options = "--arms=narrow", "--config.train.steps=100000", "--config.train.checkpoint_every=100000"
    launched = launch_width("long", "study", "--executor=local", *options)
    wait_for(tmp_path / "study" / "narrow" / "seed-0" / "metrics.jsonl")
    (job,) = json.loads((tmp_path / "study" / "jobs" / "jobs.json").read_text())["local"]
    os.kill(int(Path(f"/proc/{job}/task/{job}/children").read_text()), signal.SIGUSR2)
    log = tmp_path / "study" / "jobs" / f"{job}_0_log.out"
    wait_for(log, "Requeued job")
    wait_for(log, "narrow seed 0: goes on at step ")
    os.killpg(launched.pid, signal.SIGINT)  # as Ctrl-C does
    output, errors = launched.communicate(timeout=120)
    assert launched.returncode == 130, errors
    assert "stopped and saved; the same command goes on from there" in output
    assert log.read_text().count("and saved") == 2
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "study" / "narrow" / "seed-0" / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == list(range(3, steps[-1] + 1, 3))


JOB = """
import signal, sys
from canon import hosts
from canon.commands.job import TrainingJob

signal.signal(signal.SIGUSR2, lambda *_: print("queued again"))  # as submitit answers
workdir, address, number = sys.argv[1:]
join = hosts.join
hosts.join = lambda _: join(hosts.Place(address, int(number), 2))  # as JAX would find them under SLURM
TrainingJob(workdir, ("narrow/seed-0",))()
"""


@pytest.mark.slow
def test_a_job_of_two_processes_is_saved_by_both_and_queued_again(tmp_path, launch_width, start, address):
    options = "--config.train.steps=100000", "--config.train.checkpoint_every=100000"
    launched = launch_width("long", "study", *options, "--max_minutes=0.0001")  # makes the workdir
    output, errors = launched.communicate(timeout=120)
    assert "and saved" in output, errors
    processes = [start("-c", JOB, tmp_path / "study", address, i) for i in range(2)]
    wait_for(tmp_path / "study" / "narrow" / "seed-0" / "metrics.jsonl", "{")
    for process in processes:
        process.send_signal(signal.SIGUSR2)
    outputs = [process.communicate(timeout=120) for process in processes]
    assert all("and saved" in output and "queued again" in output for output, _ in outputs), outputs
    assert not [errors for _, errors in outputs if "Traceback" in errors]
