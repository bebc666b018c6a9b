"""Several processes, over loopback, do what one does; and they end together."""

import json
import signal

import numpy as np
import pytest
from tests.processes import wait_for
from tests.training import twenty_steps

from canon import hosts
from canon.errors import UserError


@pytest.mark.parametrize("number", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_train_and_evaluate_as_one_does(tmp_path, start, address, number):
    arguments = ["-m", "tests.training.twenty_steps", tmp_path, address]
    processes = [start(*arguments, i, number) for i in range(number)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    for name, placement in twenty_steps.works(number):
        with np.load(tmp_path / f"{name}-{placement}.npz") as found:
            alone = twenty_steps.train(name, tmp_path, evaluate=twenty_steps.evaluates(name, number))
            twenty_steps.assert_same(twenty_steps.flat(alone), dict(found))


def together(launch_width, address, number, argument, workdir, *options):
    where = f"--coordinator={address}", f"--num_processes={number}", "--join_timeout=120", *options
    return [launch_width(argument, workdir, *where, f"--process_id={i}") for i in range(number)]


def files_of(workdir):
    return sorted(str(path.relative_to(workdir)) for path in workdir.rglob("*.json*"))


def test_a_study_in_two_processes_ends_with_the_verdict_and_metrics_of_one(tmp_path, launch_width, address):

    alone = launch_width("", "one")
    assert alone.wait(timeout=120) == 0
    outputs = [process.communicate(timeout=120) for process in together(launch_width, address, 2, "", "two")]
    assert "verdict: underpowered" in outputs[0][0]
    assert "verdict" not in outputs[1][0]  # one of them prints
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    one, two = (json.loads((tmp_path / name / "verdict.json").read_text()) for name in ("one", "two"))
    assert one["verdict"] == two["verdict"]
    for claim, expected in one["claims"].items():
        assert two["claims"][claim]["differences"] == pytest.approx(expected["differences"], abs=1e-6)
    for run in ("narrow/seed-0", "wide/seed-1"):
        for mine, other in zip(
            *((tmp_path / name / run / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")),
            strict=True,
        ):
            mine, other = json.loads(mine), json.loads(other)
            for name in mine:
                if not name.startswith("speed/"):
                    assert other[name] == pytest.approx(mine[name], abs=1e-5)


@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_when_a_process_is_killed_the_others_end_and_the_run_goes_on_with_another_number(
    tmp_path, launch_width, address, victim
):
    processes = together(launch_width, address, 2, "long", "study")
    wait_for(tmp_path / "study" / "narrow" / "seed-0" / "metrics.jsonl")
    processes[victim].send_signal(signal.SIGKILL)
    _, errors = processes[1 - victim].communicate(timeout=60)
    assert processes[1 - victim].returncode not in (0, 2)
    # As the open line says it, or where a collective was quicker.
    assert f"canon: process {victim} has ended; " in errors or "canon: another process has ended" in errors
    assert "what was saved before is kept: start all of them again" in errors
    output, errors = launch_width("long", "study").communicate(timeout=240)
    assert "verdict: " in output, errors


def test_a_signal_to_one_of_them_stops_all(tmp_path, launch_width, address):
    processes = together(launch_width, address, 2, "long", "study")
    wait_for(tmp_path / "study" / "narrow" / "seed-0" / "metrics.jsonl")
    processes[1].send_signal(signal.SIGTERM)
    output, _ = processes[0].communicate(timeout=60)
    assert "and saved; the same command goes on from there" in output
    assert [process.wait(timeout=60) for process in processes] == [143, 143]


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        (("localhost", 0, 2), "takes HOST:PORT"),
        (("localhost:99999", 0, 2), "takes HOST:PORT"),
        (("localhost:1000", 2, 2), "from 0 to --num_processes - 1, not 2 of 2"),
        (("localhost:1000", -1, 2), "not -1 of 2"),
        (("localhost:1000", 0, 2, 0.0), "above 0 seconds"),
        (("localhost:1000", 0, 2, float("inf")), "at most a week"),
        (("localhost:²", 0, 2), "takes HOST:PORT"),
    ],
)
def test_a_place_that_cannot_be_is_refused(where, reason):
    with pytest.raises(UserError, match=reason):
        hosts.Place(*where)


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "a"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ({"JAX_COORDINATOR_ADDRESS": "a:1"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}, False),
    ],
)
def test_launchers_are_recognised(environment, several):
    assert hosts.environment_names_several(environment) == several


def test_a_launcher_that_says_too_little_is_one_line(monkeypatch):
    def initialize(**_):
        raise ValueError("Number of processes must be defined.")

    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(hosts.jax.distributed, "initialize", initialize)
    with pytest.raises(UserError, match=r"JAX cannot tell which \(Number of .*--num_processes=1: it is alone"):
        hosts.join(None)
    hosts.join(hosts.Place("localhost:1", 0, 1))


def test_a_mistake_ends_all_processes_with_its_reason(tmp_path, launch_width, address):
    processes = together(launch_width, address, 2, "", "study", "--config.train.batch_size=15")
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output.count("verdict")) == (2, 0)
        assert "train.batch_size 15 cannot be split evenly over 2 devices of 2 processes" in errors
    assert not (tmp_path / "study").exists()


def test_a_workdir_that_not_all_see_is_refused(tmp_path, launch_width, address):
    where = f"--coordinator={address}", "--num_processes=2", "--join_timeout=120"
    processes = [launch_width("", f"study-{i}", *where, f"--process_id={i}") for i in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "the processes do not see the same workdir" in errors
