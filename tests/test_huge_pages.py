"""Tests of memory in huge pages."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from canon import huge_pages

LAUNCH = Path(__file__).resolve().parents[1] / "launch.py"
ASKED = "glibc.malloc.hugetlb=1"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes it look as if the kernel and the C library were others."""

    def as_if(kernel: str | None = "always [madvise] never", glibc: str | None = "glibc 2.36"):
        def confstr(name):
            if glibc is None:
                raise ValueError("unrecognized configuration name")
            return glibc

        path = tmp_path / "enabled"
        if kernel is not None:
            path.write_text(kernel + "\n")
        monkeypatch.setattr(huge_pages, "ENABLED", path)
        monkeypatch.setattr(os, "confstr", confstr, raising=False)

    return as_if


def test_the_c_library_is_asked(machine):
    machine()
    assert huge_pages.environment({"HOME": "/"}) == {"HOME": "/", "GLIBC_TUNABLES": ASKED}


def test_what_it_is_asked_already_stays(machine):
    machine()
    asked = huge_pages.environment({"GLIBC_TUNABLES": "glibc.malloc.check=3"})
    assert asked == {"GLIBC_TUNABLES": f"glibc.malloc.check=3:{ASKED}"}
    assert huge_pages.environment(asked) == asked
    chosen = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert huge_pages.environment(chosen) == chosen


@pytest.mark.parametrize(
    "other",
    [
        {"kernel": "[always] madvise never"},
        {"kernel": "always madvise [never]"},
        {"kernel": None},
        {"glibc": "glibc 2.34"},
        {"glibc": "uClibc 3.0"},
        {"glibc": None},
    ],
    ids=str,
)
def test_nothing_is_asked_where_it_would_change_nothing(machine, other):
    machine(**other)
    assert huge_pages.environment({"HOME": "/"}) == {"HOME": "/"}


@pytest.mark.skipif("GLIBC_TUNABLES" not in huge_pages.environment({}), reason="this machine has nothing to ask for")
@pytest.mark.parametrize("tunables", [None, "glibc.malloc.hugetlb=0"])
def test_a_launch_begins_again_once_with_its_arguments(tmp_path, tunables):
    log = tmp_path / "log"
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
            import os, sys
            with open({str(log)!r}, "a") as file:
                print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.orig_argv[1:], file=file)
        """)
    )
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {"PYTHONPATH": str(tmp_path)} | ({"GLIBC_TUNABLES": tunables} if tunables else {})
    command = [sys.executable, "-B", str(LAUNCH), "lst"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 2
    assert said.startswith("canon: no verb 'lst'")
    starts = [tunables] if tunables else [None, ASKED]
    assert log.read_text().splitlines() == [f"{process.pid} {asked} {command[1:]}" for asked in starts]


@pytest.mark.skipif("GLIBC_TUNABLES" not in huge_pages.environment({}), reason="this machine has nothing to ask for")
def test_a_large_block_comes_in_few_pages():
    program = textwrap.dedent("""
        import ctypes, resource
        libc, size = ctypes.CDLL(None), 256 * 2**20
        libc.malloc.restype = ctypes.c_void_p
        libc.malloc.argtypes = [ctypes.c_size_t]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        ctypes.memset(libc.malloc(size), 1, size)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """)
    without = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    faults = [
        int(subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True).stdout)
        for env in (without, huge_pages.environment(without))
    ]
    if faults[0] < 2**16:
        pytest.skip("the pages of this machine are large anyway")
    assert faults[1] < faults[0] / 10
