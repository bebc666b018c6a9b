import os
import stat
import time

import pytest

from canon import cluster
from canon.cluster import Resources
from canon.errors import UserError


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"executor": "slrum"}, "takes slurm or local, not 'slrum'; did you mean slurm"),
        ({"executor": "slurm", "at_once": -1}, "--at_once must be at least 0, not -1"),
        ({"executor": "slurm", "nodes": 0}, "--nodes must be at least 1"),
        ({"executor": "slurm", "gpus": -1}, "--gpus must be at least 0"),
        ({"executor": "slurm", "memory": float("nan")}, "--memory must be at least 0 GB"),
        ({"executor": "slurm", "minutes": 1.0}, "--time_limit must be 2 minutes or more"),
        ({"executor": "local", "minutes": 9.0}, "--time_limit is for --executor=slurm"),
        ({"executor": "slurm", "sbatch": {"array": "1"}}, "--sbatch=array is not for you to set"),
        ({"executor": "slurm", "sbatch": {"time": "1"}}, "--sbatch=time has a flag of its own: --time_limit"),
        ({"executor": "local", "partition": "gpu"}, "--partition is for --executor=slurm"),
        ({"executor": "local", "nodes": 2}, "this host is one"),
    ],
)
def test_resources_that_cannot_be_are_refused(given, reason):
    with pytest.raises(UserError, match=reason):
        Resources(**given)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands that stand for SLURM's: what is submitted lies in `submitted`, what squeue says in `queue`."""
    commands = {
        "sbatch": f"""case "$*" in
            *partition=none*) echo 'sbatch: error: invalid partition' >&2; echo 'Try sbatch --help' >&2; exit 1;;
            --test-only*) ;;
            *) cp "$1" {tmp_path}/submitted; echo Submitted batch job 7;;
        esac""",
        "squeue": f'cat {tmp_path}/queue; echo "$*" >> {tmp_path}/asked',
        "srun": "exit 1",
        "scontrol": "exit 1",
    }
    (tmp_path / "bin").mkdir()
    for name, text in commands.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "queue").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(cluster, "SECONDS_BETWEEN_QUESTIONS", 0.0)
    return tmp_path


def test_slurm_is_asked_for_an_array_with_what_a_job_needs(slurm):
    resources = Resources(
        "slurm", at_once=3, partition="gpu", nodes=2, gpus=4, cpus=8, memory=1.5, minutes=90.5,
        sbatch={"account": "me", "exclusive": True},
    )  # fmt: skip
    queue = cluster.executor(resources, slurm / "jobs", "width")
    assert queue.submit([print] * 5) == [f"7_{i}" for i in range(5)]
    script = (slurm / "submitted").read_text().splitlines()
    options = {line.removeprefix("#SBATCH --") for line in script if line.startswith("#SBATCH")}
    assert options >= {
        "array=0-4%3", "partition=gpu", "nodes=2", "ntasks-per-node=1", "gpus-per-node=4", "cpus-per-task=8",
        "mem=1536M", "time=91", "account=me", "exclusive", "requeue", "signal=USR2@90", "job-name=width",
    }  # fmt: skip
    assert [line for line in script if line.startswith("srun")]


def test_a_single_task_is_a_job_and_the_defaults_are_the_clusters(slurm):
    queue = cluster.executor(Resources("slurm"), slurm / "jobs", "width")
    assert queue.submit([print]) == ["7"]
    script = (slurm / "submitted").read_text()
    assert "--array" not in script
    assert not [word for word in ("--partition", "--gpus", "--mem", "--cpus") if word in script]


def test_a_job_lives_while_it_is_listed_and_while_nobody_answers(slurm):
    queue = cluster.executor(Resources("slurm"), slurm / "jobs", "width")
    assert queue.living() == set()
    (slurm / "queue").write_text("7_0\n7_2\n9\n")
    assert queue.living() == {"7_0", "7_2", "9"}
    (slurm / "bin" / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert queue.living() == {"7_0", "7_2", "9"}
    with pytest.raises(UserError, match="squeue does not say"):  # nobody knows what a former launch has submitted
        cluster.executor(Resources("slurm"), slurm / "jobs", "width").living()
    assert "scancel 7 9" in queue.leave(["7_0", "7_2", "9"])


def test_what_slurm_refuses_is_known_before_anything_is_written(slurm):
    with pytest.raises(UserError, match="sbatch refuses such jobs: invalid partition"):
        cluster.check(Resources("slurm", partition="none"), slurm / "jobs")
    with pytest.raises(UserError, match="without %"):
        cluster.check(Resources("slurm"), slurm / "50%j" / "jobs")
    assert not (slurm / "jobs").exists()


def test_without_slurm_it_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no sbatch here"):
        cluster.check(Resources("slurm"), tmp_path)


@pytest.mark.parametrize(("seen", "expected"), [(None, ["0,1", "2,3"]), ("7,GPU-a,5,4", ["7,GPU-a", "5,4"])])
def test_jobs_of_this_host_have_different_gpus_and_as_many_run_as_are_wanted(tmp_path, monkeypatch, seen, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    queue = cluster.executor(Resources("local", at_once=2, gpus=2), tmp_path / "jobs", "width")
    assert queue.slots == 2
    ids = queue.submit([_Says("CUDA_VISIBLE_DEVICES")] * 3)
    assert len(ids) == 2
    while queue.living():
        time.sleep(0.05)
    outputs = [(tmp_path / "jobs" / f"{job}_0_log.out").read_text() for job in ids]
    assert [f"it is {gpus}." in output for gpus, output in zip(expected, outputs, strict=True)] == [True, True]


def test_jobs_see_what_the_launch_sees_where_no_gpus_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6")
    queue = cluster.executor(Resources("local"), tmp_path / "jobs", "width")
    (job,) = queue.submit([_Says("CUDA_VISIBLE_DEVICES")])
    while queue.living():
        time.sleep(0.05)
    assert "it is 6." in (tmp_path / "jobs" / f"{job}_0_log.out").read_text()


def test_more_gpus_than_there_are_to_see_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with pytest.raises(UserError, match="needs 4 GPUs, and CUDA_VISIBLE_DEVICES names 3"):
        cluster.check(Resources("local", at_once=2, gpus=2), tmp_path)


class _Says:
    """A task; cloudpickle takes a class of a test with it."""

    def __init__(self, name):
        self._name = name

    def __call__(self):
        print(f"it is {os.environ[self._name]}.")
