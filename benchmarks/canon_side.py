"""The works here, as `launch.py` runs them: the same step, compiled the same way, with a launch's memory settings.

What is measured beside the step: its multiply-adds, as papers count them, and the rate at which this machine multiplies
matrices, from which follows the least time that it could take.
"""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import jax
import numpy as np
from jax import numpy as jnp

from benchmarks import side, work
from canon import models, multiply_adds, optimizers, schedules
from canon.commands import runtime
from canon.generation import sampling
from canon.layers import quick
from canon.training import parallel
from canon.training.gradient import of_task
from canon.training.language_model import LanguageModel
from canon.training.sequence_to_sequence import SequenceToSequence
from canon.training.state import initial_state
from canon.training.step import make_objective, make_train_step
from canon.training.task import Classification

NETWORKS = {
    "mlp": {"name": "mlp", "hidden": work.MLP_HIDDEN},
    "lenet5": {"name": "lenet5_modern"},
    "alexnet_fig1": {"name": "alexnet_fig1"},
    "resnet20": {"name": "cifar_resnet", "depth": 20},
    "resnet50": {"name": "resnet50", "bottleneck_stride": "3x3"},
}


class Steps:
    """A train step and its state, on one batch.

    Args:
      ahead: compile the step while the state is made, as a launch does; else the first call does.
    """

    def __init__(self, task, batch: dict[str, np.ndarray], rate: float, ahead: bool = False, **optimizer):
        schedule = schedules.create("constant", steps=1, learning_rate=rate)
        chain = optimizers.create(**optimizer, learning_rate=schedule)
        rows = len(next(iter(batch.values())))
        mesh = parallel.data_mesh(1, rows)
        self._batch = jax.device_put(batch, parallel.split(mesh))
        step = make_train_step(of_task(task), chain, schedule, lambda b, key: b)
        self._step = parallel.jit(step, mesh, self._batch, donate_state=True)
        init, abstract = parallel.compile_init(lambda seed: initial_state(task, chain, self._batch, seed), mesh)
        if ahead:
            place = parallel.replicated(mesh)
            placed = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), abstract)
            threading.Thread(target=self._step.compile, args=(placed, self._batch)).start()
        self._state = init(0)
        self._objective = make_objective(task, lambda b, key: b)

    def __call__(self, steps: int) -> None:
        for _ in range(steps):
            self._state, metrics = self._step(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))

    def notes(self) -> dict[str, float]:
        """What the floor is made of; to be asked for after the measurement."""
        with quick.off():
            multiplied = multiply_adds.of_gradient(self._objective, self._state.params, self._state, self._batch)
        return {"multiply_adds": multiplied, "multiply_adds_per_second": _rate()}


def _rate(size: int = 2048) -> float:
    """Multiply-adds a second in the product of two large matrices: the best of ten."""
    a = jnp.ones((size, size))
    product = jax.jit(lambda a: a @ a)
    times = []
    for _ in range(11):
        began = time.perf_counter()
        product(a).block_until_ready()
        times.append(time.perf_counter() - began)
    return size**3 / min(times[1:])


def image_step(name: str, ahead: bool = False) -> Steps:
    """See `work.Images`."""
    images = work.IMAGES[name]
    random = np.random.default_rng(0)
    batch = {
        "image": random.normal(size=(images.batch, *images.shape)).astype(np.float32),
        "label": random.integers(images.classes, size=images.batch).astype(np.int32),
    }
    task = Classification(models.create(**NETWORKS[name], num_classes=images.classes))
    chain = {"name": "momentum", "momentum": work.MOMENTUM, "weight_decay": work.WEIGHT_DECAY}
    return Steps(task, batch, work.LEARNING_RATE, ahead, **chain)


def _char_rnn(units: int):
    return models.create("char_rnn", num_classes=work.SYMBOLS, features=units, layers=work.LAYERS)


def text_step(units: int) -> Steps:
    """See `work.TEXTS`."""
    tokens = np.random.default_rng(0).integers(work.SYMBOLS, size=(work.ROWS, work.CHUNK + 1)).astype(np.int32)
    batch = {"tokens": tokens[:, :-1], "targets": tokens[:, 1:], "begins": np.zeros(work.ROWS, bool)}
    return Steps(LanguageModel(_char_rnn(units)), batch, work.TEXT_RATE, name="adam", clip_norm=work.CLIP)


def seq2seq_step() -> Steps:
    """See `work.Pairs`."""
    pairs, random = work.PAIRS, np.random.default_rng(0)
    model = models.create(
        "seq2seq",
        num_classes=pairs.target_words,
        num_source_classes=pairs.source_words,
        embedding=pairs.units,
        features=pairs.units,
        layers=pairs.layers,
    )
    source = random.integers(pairs.source_words, size=(pairs.batch, pairs.source_length)).astype(np.int32)
    target = random.integers(pairs.target_words, size=(pairs.batch, pairs.target_length + 1)).astype(np.int32)
    batch = {
        "source": source,
        "source_lengths": np.full(pairs.batch, pairs.source_length, np.int32),
        "tokens": target[:, :-1],
        "targets": target[:, 1:],
        "mask": np.ones((pairs.batch, pairs.target_length), np.float32),
    }
    task = SequenceToSequence(model, ("source", "source_lengths"))
    return Steps(task, batch, work.TEXT_RATE, name="adam", clip_norm=work.CLIP)


def sample() -> side.Run:
    """Draws texts, as `launch.py sample` does; a step is a text."""
    model = _char_rnn(work.SAMPLED_UNITS)
    prompt = jnp.zeros((1, 1), jnp.int32)
    variables = model.init(jax.random.key(0), prompt)
    key, zero, one = jax.random.key(1), jnp.int32(0), jnp.float32(1)

    def run(texts: int) -> None:
        for _ in range(texts):
            logits, carry = sampling.read(model, variables, prompt)
            np.asarray(sampling.sample(model, variables, logits, carry, key, zero, one, work.SAMPLED_LENGTH)[0])

    return run


def startup() -> None:
    """From nothing to one step of ResNet-20."""
    runtime.start()
    image_step("resnet20", ahead=True)(1)


def study() -> None:
    """`launch.py run plain_vs_residual`, start to verdict, in a process of its own as a user starts it."""
    launch = Path(__file__).resolve().parents[1] / "launch.py"
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, str(launch), "run", "plain_vs_residual", f"--workdir={directory}/run"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def prepare(threads: int) -> None:
    """XLA takes the cores that this process has; the C library is told what a launch tells it."""
    runtime.keep_freed_memory()


SIDES = {
    **{name: lambda name=name: image_step(name) for name in work.IMAGES},
    **{name: lambda units=units: text_step(units) for name, units in work.TEXTS.items()},
    "seq2seq": seq2seq_step,
    "sample_1000": sample,
}
WHOLE = {"startup_cold": startup, "startup_warm": startup, "study": study}

if __name__ == "__main__":
    side.main(SIDES, WHOLE, prepare)
