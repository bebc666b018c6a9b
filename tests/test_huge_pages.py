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


asking = pytest.mark.skipif(
    "GLIBC_TUNABLES" not in huge_pages.environment({}), reason="this machine has nothing to ask for"
)


@pytest.fixture
def starts(tmp_path):
    """Runs Python with arguments, and returns what it said, and a line for each time that it began."""
    log = tmp_path / "log"
    program = f"""
        import os, sys
        if os.environ.get("DENIED"):
            os.environ.pop("GLIBC_TUNABLES", None)
        with open({str(log)!r}, "a") as file:
            print(os.environ.get("GLIBC_TUNABLES"), sys.orig_argv[1:], file=file)
    """
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(program))

    def run(arguments, **variables):
        environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
        environment |= {"PYTHONPATH": str(tmp_path), **variables}
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=100)
        return done.stderr, log.read_text().splitlines()

    return run


@asking
def test_a_launch_begins_again_once_with_its_arguments(starts):
    arguments = ["-B", str(LAUNCH), "lst"]
    said, lines = starts(arguments)
    assert said.startswith("canon: no verb 'lst'")
    assert lines == [f"None {arguments}", f"{ASKED} {['-Xhuge_pages', *arguments]}"]


@asking
@pytest.mark.parametrize(
    ("variables", "times"), [({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, 1), ({"DENIED": "1"}, 2)], ids=str
)
def test_a_launch_that_does_not_get_them_goes_on(starts, variables, times):
    said, lines = starts([str(LAUNCH), "lst"], **variables)
    assert said.startswith("canon: no verb 'lst'")
    assert len(lines) == times


@asking
def test_a_module_begins_again_once(starts, tmp_path):
    (tmp_path / "again.py").write_text("from canon import huge_pages\n\nhuge_pages.restart()\n")
    _, lines = starts(["-m", "again", "word"])
    assert lines == [f"None {['-m', 'again', 'word']}", f"{ASKED} {['-Xhuge_pages', '-m', 'again', 'word']}"]


@asking
@pytest.mark.parametrize("executable", ["", None, "/no/such/python"])
def test_a_python_that_cannot_be_found_goes_on(executable, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(huge_pages, "_is_what_python_was_started_with", lambda: True)
    huge_pages.restart()


@asking
def test_what_another_program_runs_does_not_begin_that_again(starts, tmp_path):
    debugger = tmp_path / "debugger.py"
    program = "import runpy, sys\ndel sys.argv[0]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    debugger.write_text(program)
    said, lines = starts([str(debugger), str(LAUNCH), "lst"])
    assert said.startswith("canon: no verb 'lst'")
    assert len(lines) == 1


@asking
def test_a_large_block_comes_in_few_pages():
    program = textwrap.dedent("""
        import ctypes, mmap, resource
        size = 256 * 2**20

        def faults(touch):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            touch()
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        libc.malloc.argtypes = [ctypes.c_size_t]
        asked = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        asked.madvise(mmap.MADV_HUGEPAGE)
        print(faults(lambda: ctypes.memset((ctypes.c_char * size).from_buffer(asked), 1, size)))
        print(faults(lambda: ctypes.memset(libc.malloc(size), 1, size)))
    """)
    without = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    counts = []
    for environment in (without, huge_pages.environment(without)):
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        counts.append([int(line) for line in done.stdout.split()])
    (possible, small), (_, huge) = counts
    if possible > small / 10:
        pytest.skip("the kernel has no huge pages to give at the moment, or its pages are large anyway")
    assert huge < small / 10
