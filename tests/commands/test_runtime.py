"""Tests of what commands do before their work."""

import subprocess
import sys
import textwrap

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux is told")
def test_memory_that_was_freed_is_not_asked_of_the_kernel_again():
    program = textwrap.dedent("""
        import ctypes, resource
        from canon.commands import runtime
        libc, size = ctypes.CDLL(None), 48 * 2**20
        libc.malloc.restype = ctypes.c_void_p
        libc.malloc.argtypes = [ctypes.c_size_t]
        libc.free.argtypes = [ctypes.c_void_p]

        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            block = libc.malloc(size)
            ctypes.memset(block, 1, size)
            libc.free(block)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        faults()
        without = faults()
        runtime.keep_freed_memory()
        faults()
        print(without, faults())
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    without, kept = map(int, done.stdout.split())
    if not without:
        pytest.skip("this C library, or the kernel, keeps it anyway")
    assert kept < without / 10
