"""Seeds that are trained together are trained as each alone."""

import contextlib
import dataclasses
import json
import threading

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from tests import compiling
from tests.training import twenty_steps
from tests.training.runs import build, state_of

from canon.errors import UserError
from canon.study import plan, runner
from canon.training import loop, parallel, strategy, together
from canon.training.compiled import Compiled
from canon.training.recorder import read_metrics
from canon.training.strategy import Speed

BOUNDS = {"batch_norm": 1e-3}
"""Of the parameters under `vmap`, absolute, after these few steps: with batch normalisation rounding grows fast, even
at the smaller rate that it has here."""


@pytest.fixture(autouse=True)
def as_launched(monkeypatch):
    """Several steps in one program have the bits of single ones."""
    usual = parallel.compile_options
    monkeypatch.setattr(parallel, "compile_options", lambda *args: usual(*args) | compiling.AS_LAUNCHED)


def members(built, folder, seeds):
    return [together.Member(seed, folder / f"seed-{seed}", loop.Nobody(), built) for seed in seeds]


def recorded(folder):
    lines = read_metrics(folder)
    return [{name: v for name, v in line.items() if not name.startswith("speed/")} for line in lines]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(twenty_steps.TEXT)
    return path


KINDS = {
    "mlp": {"model": {"name": "mlp", "hidden": (8,), "dropout_rate": 0.3}},
    "batch_norm": {
        "model": {"name": "cifar_resnet", "depth": 8},
        "augment": {"flip": True, "pad_crop": 1},
        "schedule": {"learning_rate": 0.01},
    },
    "lstm": {"task": "language_model", "model": {"name": "char_rnn", "features": 8}, "data": {"chunk": 6}},
    "buckets": twenty_steps.MODELS["masked"] | {"train": {"evaluate_every": 12}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_among_others_is_what_it_is_alone(tiny_config, tmp_path, text, kind):
    changes = KINDS[kind] | ({"data": {"chunk": 6, "text": str(text)}} if kind == "lstm" else {})
    built = build(tiny_config, **changes)
    alone = {1: loop.train(built, 1, tmp_path / "alone-1")}
    for way in ("concurrent", "unroll", "vmap"):
        results = together.train(members(built, tmp_path / way, (0, 1)), way)
        for seed, expected in alone.items():
            one, other = state_of(built, tmp_path / f"alone-{seed}"), state_of(built, tmp_path / way / f"seed-{seed}")
            bound = BOUNDS.get(kind, 1e-5)
            if way != "vmap":
                assert results[seed].metrics == expected.metrics
                assert recorded(tmp_path / way / f"seed-{seed}") == recorded(tmp_path / f"alone-{seed}")
                jax.tree.map(np.testing.assert_array_equal, one, other)
            else:
                assert results[seed].metrics == pytest.approx(expected.metrics, abs=100 * bound, rel=100 * bound)
                for part in ("params", "carry"):
                    leaves = zip(*(jax.tree.leaves(getattr(state, part)) for state in (one, other)), strict=True)
                    assert max((np.abs(a - b).max() for a, b in leaves), default=0) < bound


@pytest.mark.parametrize("way", ["concurrent", "unroll", "vmap"])
def test_a_run_that_diverges_leaves_the_others_alone(tiny_config, tmp_path, way):
    built = build(tiny_config)
    alone = loop.train(built, 1, tmp_path / "alone")
    take = built.train_step

    class Poisoned(together._Steps):
        """Seed 0's parameters are lost before its sixth step."""

        def take(self, number, state, batch):
            if number == 0 and int(state.step) == 5:
                state = state.replace(params=jax.tree.map(lambda a: a * jax.numpy.nan, state.params))
            return super().take(number, state, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "_Steps", Poisoned)
        lost, kept = together.train(members(built, tmp_path / "group", (0, 1)), way)
    assert built.train_step is take
    assert (lost.status, lost.step) == ("diverged", 6)
    assert kept.status == "finished"
    assert kept.metrics == pytest.approx(alone.metrics, rel=1e-4)


@pytest.mark.parametrize("way", ["concurrent", "unroll"])
def test_runs_that_reach_a_target_leave_at_different_steps(tiny_config, tmp_path, way):
    fields = {"log_every": 1, "steps": 60, "target_error": 0.2, "stop_at_target": True}
    built = build(tiny_config, train=fields)
    alone = [loop.train(built, seed, tmp_path / f"alone-{seed}") for seed in (0, 1, 2)]
    assert len({result.step for result in alone}) > 1
    found = together.train(members(built, tmp_path / "group", (0, 1, 2)), way)
    assert [result.step for result in found] == [result.step for result in alone]
    assert [result.metrics for result in found] == [result.metrics for result in alone]


@pytest.mark.parametrize("way", ["concurrent", "unroll"])
def test_a_group_that_is_stopped_goes_on_to_the_same_bits(tiny_config, tmp_path, way):
    built = build(tiny_config)
    whole = together.train(members(built, tmp_path / "whole", (0, 1)), way)
    left = iter(range(13, -1, -1))
    with pytest.raises(loop.Interrupted):
        together.train(members(built, tmp_path / "cut", (0, 1)), way, should_stop=lambda: next(left, 0) == 0)
    # One of them alone, the other after it: whoever is left may be trained in another company.
    again = [loop.train(built, seed, tmp_path / "cut" / f"seed-{seed}") for seed in (0, 1)]
    assert [result.metrics for result in again] == [result.metrics for result in whole]
    for seed in (0, 1):
        states = [state_of(built, tmp_path / name / f"seed-{seed}") for name in ("whole", "cut")]
        jax.tree.map(np.testing.assert_array_equal, *states)


def test_while_a_run_waits_for_the_device_or_the_disk_another_is_awake(tiny_config, tmp_path, monkeypatch):
    built = build(tiny_config, parallel={"devices": 1})
    other_waits, met = threading.Barrier(2), []

    class Meeting(together._Steps):
        """Who sleeps wakes when the other one sleeps too."""

        @contextlib.contextmanager
        def asleep(self):
            with super().asleep():
                met.append(other_waits.wait(60))
                yield

    monkeypatch.setattr(together, "_Steps", Meeting)
    results = together.train(members(built, tmp_path, (0, 1)), "concurrent")
    assert [result.status for result in results] == ["finished"] * 2
    lines = read_metrics(tmp_path / "seed-0")
    waits = sum(f"{of}/loss" in line for line in lines for of in ("batch", *built.pipelines))
    assert len(met) == 2 * (waits + 2)  # for steps, evaluations, what is compiled, and the last checkpoint, of each


def test_while_a_step_is_compiled_ahead_the_others_make_their_states(tiny_config, tmp_path, monkeypatch):
    built, made, ready = build(tiny_config, parallel={"devices": 1}), [], threading.Event()

    class Slow(Compiled):
        """It is being compiled until all have made their states."""

        def wait(self):
            assert ready.wait(60)
            super().wait()

    def init(seed):
        made.append(seed)
        if len(made) == 3:
            ready.set()
        return built.init(seed)

    slow = dataclasses.replace(built, init=init, train_step=Slow(built.train_step))
    results = together.train(members(slow, tmp_path, (0, 1, 2)), "concurrent")
    assert [result.status for result in results] == ["finished"] * 3


@pytest.mark.parametrize("way", ["concurrent", "unroll"])
def test_what_had_not_begun_when_a_stop_was_asked_for_does_not(tiny_config, tmp_path, way):
    answers = iter([False])  # to the first run, before it begins
    with pytest.raises(loop.Interrupted) as stopped:
        together.train(members(build(tiny_config), tmp_path, (0, 1)), way, should_stop=lambda: next(answers, True))
    assert stopped.value.step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["seed-0"]


@pytest.mark.parametrize("way", ["concurrent", "unroll"])
def test_what_goes_wrong_in_a_step_is_raised(tiny_config, tmp_path, monkeypatch, way):
    def broken(*_):
        raise UserError("the step is broken")

    built = dataclasses.replace(build(tiny_config), train_step=Compiled(broken))
    monkeypatch.setattr(together.parallel, "jit_many", lambda *_: broken)
    with pytest.raises(UserError, match="the step is broken"):
        together.train(members(built, tmp_path, (0, 1)), way)


def test_no_run_gets_ahead_of_the_others(tiny_config, tmp_path):
    built, taken = build(tiny_config), []

    def step(state, batch):
        taken.append(int(state.seed))
        return built.train_step(state, batch)

    group = members(dataclasses.replace(built, train_step=Compiled(step)), tmp_path, (0, 1, 2))
    together.train(group, "concurrent")
    assert len(taken) == 3 * built.config.train.steps
    for number in range(0, len(taken), 3):
        assert sorted(taken[number : number + 3]) == [0, 1, 2]


def test_a_run_that_waits_for_the_disk_lets_the_others_go_on(tiny_config, tmp_path, monkeypatch):
    waiting = threading.Barrier(2, timeout=60)  # passed by two that wait at the same time
    wait = loop.Checkpoints.wait

    def slow(self):
        waiting.wait()
        wait(self)

    monkeypatch.setattr(loop.Checkpoints, "wait", slow)
    results = together.train(members(build(tiny_config), tmp_path, (0, 1)), "concurrent")
    assert [result.status for result in results] == ["finished", "finished"]


@pytest.mark.parametrize("way", ["concurrent", "unroll"])
def test_what_goes_wrong_in_one_run_is_raised_and_the_others_are_saved_where_they_are(tiny_config, tmp_path, way):
    built = build(tiny_config, train={"checkpoint_every": 12})

    class Angry(loop.Nobody):
        def recorded(self, step, values):
            raise UserError(f"no more after {step}")

    group = [*members(built, tmp_path, (0,)), together.Member(1, tmp_path / "angry", Angry(), built)]
    with pytest.raises(UserError, match="no more after 4"):
        together.train(group, way)
    assert loop.read_result(tmp_path / "seed-0") is None
    assert int(state_of(built, tmp_path / "seed-0").step) in (4, 5)


@pytest.mark.parametrize(
    ("sequential", "concurrent", "unroll", "vmap", "steps", "chosen", "tried"),
    [
        ((1, 0.4), (1, 0.35), (4, 0.3), (1, 0.35), 1000, "unroll", 4),
        ((1, 0.4), (1, 0.3), (4, 0.3), (1, 0.2), 1000, "vmap", 4),
        ((1, 0.4), (1, 0.2), (4, 0.3), (1, 0.3), 1000, "concurrent", 4),
        ((1, 0.4), (1, 0.39), (4, 0.39), (1, 0.5), 1000, "sequential", 4),  # it saves too little
        ((10, 0.4), (10, 0.3), (40, 0.1), (10, 0.1), 100, "concurrent", 2),  # to compile is dear
        ((1, 0.4), (1, 0.4), (4, 0.1), (1, 0.2), 300, "vmap", 3),
    ],
)
def test_the_fastest_way_is_chosen_and_no_measure_costs_more_than_it_can_save(
    sequential, concurrent, unroll, vmap, steps, chosen, tried
):
    speeds = {"sequential": sequential, "concurrent": concurrent, "unroll": unroll, "vmap": vmap}
    found, measured = strategy.fastest(lambda way: Speed(*speeds[way]), members=4, steps=steps)
    assert (found, len(measured)) == (chosen, tried)


@pytest.mark.parametrize("way", ["sequential", "concurrent", "unroll", "vmap"])
def test_every_way_can_be_measured(tiny_config, way):
    speed = strategy.measure([build(tiny_config)] * 2, way)
    assert speed.step > 0
    assert speed.compile >= 0


def test_a_choice_is_kept_for_the_study_that_goes_on(tiny_config, tmp_path, monkeypatch):
    built = build(tiny_config)
    path = tmp_path / "arm" / strategy.FILE
    monkeypatch.setattr(strategy, "_SHARE", 1e9)  # everything is tried, and sequential is kept
    assert strategy.choose([built] * 2, path) in ("concurrent", "unroll", "vmap", "sequential")
    assert set(json.loads(path.read_text())["measured"]) == {"sequential", "concurrent", "unroll", "vmap"}
    path.write_text('{"strategy": "vmap"}')
    assert strategy.choose([built] * 2, path) == "vmap"
    for content in ('{"strategy": "auto"}', "{}", "vmap"):
        path.write_text(content)
        with pytest.raises(UserError, match="remove it to measure again"):
            strategy.choose([built] * 2, path)


@pytest.mark.parametrize("way", ["concurrent", "unroll", "vmap", "auto"])
def test_a_study_trains_its_seeds_together_and_only_those_that_are_left(tiny_study, tmp_path, way):
    with tiny_study.unlocked():
        tiny_study.seeds = 3
        tiny_study.parallel.seeds = way
    seen = []

    class Watching(runner.Nobody):
        def run_began(self, run, is_compiled):
            seen.append(("began", run.arm, run.seed))

        def run_ended(self, run, result):
            seen.append(("ended", run.arm, run.seed))

    programs = runner.Programs(tiny_study, tmp_path)
    runs = plan.runs(tiny_study, tmp_path)
    runner.run([runs[0]], programs.build, runner.Nobody())  # narrow, seed 0
    runner.run(runs, programs.build, Watching())
    assert seen.count(("ended", "narrow", 0)) == 1
    assert len([event for event in seen if event[0] == "ended"]) == len(runs) == 6
    if way != "auto":
        assert seen.index(("began", "narrow", 2)) < seen.index(("ended", "narrow", 1))
    assert all(run.directory.joinpath("result.json").exists() for run in runs)


@pytest.mark.parametrize("parallel", [{"devices": 2}, {"step": "pmap"}])
def test_programs_over_devices_are_never_on_their_way_at_the_same_time(tiny_study, tmp_path, parallel):
    with tiny_study.unlocked():
        tiny_study.seeds = 2
        tiny_study.parallel.update(seeds="concurrent", **parallel)
    events = []

    class Watching(runner.Nobody):
        def run_began(self, run, is_compiled):
            events.append(("began", run.seed))

        def run_ended(self, run, result):
            events.append(("ended", run.seed))

    runs = [run for run in plan.runs(tiny_study, tmp_path) if run.arm == "narrow"]
    runner.run(runs, runner.Programs(tiny_study, tmp_path).build, Watching())
    assert events == [("began", 0), ("ended", 0), ("began", 1), ("ended", 1)]


@pytest.mark.parametrize("ways", [("concurrent", "unroll", "vmap"), pytest.param(("auto",), marks=pytest.mark.slow)])
def test_trials_of_different_rates_are_together_what_each_is_alone(tiny_study, tmp_path, ways):
    with tiny_study.unlocked():
        rates = {name: {"schedule": {"learning_rate": r}} for name, r in (("low", 0.01), ("high", 0.1))}
        tiny_study.candidates = ConfigDict(rates)
        tiny_study.selection.folds = 2
    began = []

    class Watching(runner.Nobody):
        def run_began(self, run, is_compiled):
            began.append(run)

        def run_ended(self, run, result):
            together_now.append(len(began))

    found = {}
    for seeds in ("sequential", *ways):
        tiny_study.parallel.seeds = seeds
        folder, together_now = tmp_path / seeds, []
        began.clear()
        planned = runner.planned(tiny_study, folder, ["narrow"])
        runner.run(planned, runner.Programs(tiny_study, folder).build, Watching())
        found[seeds] = [runner.read_result(run.directory).metrics for run in planned]
        if seeds in ("concurrent", "unroll"):
            assert together_now == [2, 2, 4, 4, 7, 7, 7]  # the candidates on one fold, then on the other; then the runs
    for way in ways:
        assert found[way] == found["sequential"]


def test_trials_of_speed_follow_each_other(tiny_study, tmp_path):
    with tiny_study.unlocked():
        rates = {name: {"schedule": {"learning_rate": r}} for name, r in (("high", 0.5), ("low", 0.01))}
        tiny_study.candidates = ConfigDict(rates)
        tiny_study.selection.metric = "steps_to_target"
        tiny_study.train.update(target_error=0.5, stop_at_target=True, log_every=1, steps=40)
        tiny_study.parallel.seeds = "unroll"
    planned = runner.planned(tiny_study, tmp_path, ["narrow"])
    runner.run(planned, runner.Programs(tiny_study, tmp_path).build, runner.Nobody())
    fast, slow = (runner.read_result(run.directory) for run in planned[:2])
    assert fast.step < 40
    assert slow.step <= fast.step
