import threading

import jax
import pytest
from jax import numpy as jnp

from canon.training.compiled import Compiled


class Slow:
    """A function that is traced no faster than it is let.

    Attributes:
      begun, goes_on: set when a trace of it begins, and when it may end.
      traced: names of the threads that did.
    """

    def __init__(self):
        self.begun, self.goes_on = threading.Event(), threading.Event()
        self.traced = []

    def __call__(self, x):
        self.traced.append(threading.current_thread().name)
        self.begun.set()
        assert self.goes_on.wait(60)
        return 2 * x


def test_whoever_calls_it_while_another_thread_compiles_it_waits_and_traces_nothing():
    slow, found = Slow(), []
    double = Compiled(jax.jit(slow))
    ahead = threading.Thread(target=double.compile, args=(jnp.float32(3),), name="ahead")
    callers = [threading.Thread(target=lambda: found.append(float(double(jnp.float32(4))))) for _ in range(3)]
    waiting = threading.Thread(target=double.wait)
    ahead.start()
    assert slow.begun.wait(60)
    for thread in (*callers, waiting):
        thread.start()
    for thread in (callers[0], waiting):
        thread.join(0.2)
        assert thread.is_alive()
    assert not double.is_ready
    slow.goes_on.set()
    for thread in (ahead, *callers, waiting):
        thread.join(60)
        assert not thread.is_alive()
    assert double.is_ready
    assert found == [8.0] * 3
    assert slow.traced == ["ahead"]


def test_each_shape_has_a_program():
    double = Compiled(jax.jit(lambda x: 2 * x))
    assert double.programs == 0
    assert not double.is_ready
    for shape in ((2,), (3,), (2,)):
        double(jnp.ones(shape))
    assert double.programs == 2
    assert double.is_ready


def test_who_fails_holds_nobody_up():
    function = Compiled(jax.jit(lambda x: x + jnp.ones(2)))
    for _ in range(2):
        with pytest.raises(TypeError, match="incompatible shapes"):
            function(jnp.ones(3))
        assert not function.is_ready
    assert function(jnp.ones(2)).sum() == 4
