import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from tests.training.runs import build, state_of

from canon.training import loop
from canon.training.ahead import THREAD, Ahead, is_possible
from canon.training.program import Program


@pytest.fixture
def compiled():
    """The names of what is compiled, as it is."""
    names = []

    def note(event, seconds, fun_name="", **_):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


def one_device(config, **changes):
    return build(config, parallel={"devices": 1, **changes})


def test_what_was_compiled_ahead_is_not_compiled_again_and_trains_to_the_same_bits(tiny_config, tmp_path, compiled):
    ahead, alone = one_device(tiny_config), one_device(tiny_config)
    with Ahead() as compiling:
        compiling.begin(ahead)
    assert {"jit(train_step)", "jit(evaluation_step)"} <= set(compiled)
    compiled.clear()
    loop.train(ahead, 0, tmp_path / "ahead")
    assert not {"jit(train_step)", "jit(evaluation_step)"} & set(compiled)
    loop.train(alone, 0, tmp_path / "alone")
    assert {"jit(train_step)", "jit(evaluation_step)"} <= set(compiled)
    states = state_of(ahead, tmp_path / "ahead"), state_of(alone, tmp_path / "alone")
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_what_does_not_compile_is_left_to_whoever_trains_it(tiny_config, monkeypatch):
    built, tried = one_device(tiny_config), []

    def fail(self):
        tried.append(threading.current_thread().name)
        raise ValueError("no")

    monkeypatch.setattr(Program, "compile", fail)
    with Ahead() as compiling:
        compiling.begin(built)
    assert tried == [THREAD]


@pytest.fixture
def slow(monkeypatch):
    """Compiling takes until `slow` is set; those that have begun to be compiled stand in `slow.begun`."""
    goes_on = threading.Event()
    goes_on.begun = []

    def compile(self):
        goes_on.begun.append(self)
        assert goes_on.wait(60)

    monkeypatch.setattr(Program, "compile", compile)
    yield goes_on
    goes_on.set()


def of_ahead():
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def test_whoever_goes_wrong_does_not_wait_and_no_other_is_compiled(tiny_config, slow):
    compiling = Ahead()
    first = one_device(tiny_config)
    compiling.begin(first, one_device(tiny_config))
    compiling.__exit__(loop.Interrupted, loop.Interrupted(1), None)
    (thread,) = of_ahead()
    slow.set()
    thread.join(60)
    assert not thread.is_alive()
    assert slow.begun == [first]


def test_who_is_asked_to_stop_does_not_wait_any_more(tiny_config, slow):
    compiling, asked = Ahead(), []
    compiling.begin(one_device(tiny_config))
    compiling.wait(lambda: asked.append(1) or len(asked) == 3)
    assert len(asked) == 3
    assert of_ahead()
    slow.set()
    compiling.wait()
    assert not of_ahead()


def test_nothing_to_compile_takes_no_thread():
    with Ahead() as compiling:
        compiling.begin()
        assert not of_ahead()


def test_a_launch_knows_the_thread_for_which_it_does_not_wait():
    assert f'thread.name == "{THREAD}"' in (Path(__file__).parents[2] / "launch.py").read_text()


def test_nothing_runs_beside_a_program_of_several_devices_or_one_that_its_seeds_share(tiny_config):
    assert is_possible(one_device(tiny_config))
    assert is_possible(one_device(tiny_config, seeds="concurrent"))
    assert not is_possible(one_device(tiny_config, seeds="vmap"))
    assert not is_possible(one_device(tiny_config, step="pmap"))
    assert not is_possible(build(tiny_config, parallel={"devices": 2}))
