"""One training step of convolutional networks, here and in PyTorch, side by side.

    python -m benchmarks.networks [NAME ...] [--rounds=10] [--seconds=2]

Both sides train the same network on the same random images: forward, backward, and SGD with momentum and weight decay,
in float32 on all cores. PyTorch's side is written as its users would: channels_last, and its own SGD. The two alternate
in one process, so that a ratio is that of two neighbours; each turn lasts about `--seconds`. What is printed is the
median over the rounds and the ratios' quartiles. Compiling is timed apart, once.

PyTorch comes with the extra `torch`: pip install -e '.[torch]'.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from canon import models, optimizers, schedules
from canon.training import parallel
from canon.training.gradient import of_task
from canon.training.state import initial_state
from canon.training.step import make_train_step
from canon.training.task import Classification


@dataclass(frozen=True)
class Work:
    """A network and its batch.

    Attributes:
      model: its name and arguments here.
      torch: how `benchmarks.torch_networks` makes it.
      batch_size: images of a step.
      shape: (height, width, channels) of an image.
      classes: how many there are.
    """

    model: dict[str, Any]
    torch: Callable[[Any], Any]
    batch_size: int
    shape: tuple[int, int, int]
    classes: int


WORK = {
    "lenet5": Work({"name": "lenet5_modern"}, lambda t: t.lenet5_modern(), 128, (28, 28, 1), 10),
    "alexnet": Work({"name": "alexnet"}, lambda t: t.alexnet(), 32, (227, 227, 3), 1000),
    "vgg16": Work({"name": "vgg16"}, lambda t: t.vgg(16), 8, (224, 224, 3), 1000),
    "resnet20": Work({"name": "cifar_resnet", "depth": 20}, lambda t: t.cifar_resnet(20), 128, (32, 32, 3), 10),
    "resnet50": Work({"name": "resnet50", "bottleneck_stride": "3x3"}, lambda t: t.resnet(50), 8, (224, 224, 3), 1000),
}

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-4


def canon_step(work: Work, images: np.ndarray, labels: np.ndarray) -> Callable[[int], None]:
    """A function that takes so many training steps here, and waits for the last."""
    task = Classification(models.create(**work.model, num_classes=work.classes))
    schedule = schedules.create("constant", steps=1, learning_rate=LEARNING_RATE)
    optimizer = optimizers.create("momentum", learning_rate=schedule, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    mesh = parallel.data_mesh(1, work.batch_size)
    batch = jax.device_put({"image": jnp.asarray(images), "label": jnp.asarray(labels)}, parallel.split(mesh))
    init = parallel.jit_init(lambda seed: initial_state(task, optimizer, batch, seed), mesh)
    step = parallel.jit(
        make_train_step(of_task(task), optimizer, schedule, lambda b, key: b), mesh, batch, donate_state=True
    )
    state = init(jnp.uint32(0))

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))

    return run


def torch_step(work: Work, images: np.ndarray, labels: np.ndarray) -> Callable[[int], None]:
    """The same in PyTorch."""
    import torch

    from benchmarks import torch_networks

    torch.set_num_threads(os.cpu_count() or 1)
    model = work.torch(torch_networks).train().to(memory_format=torch.channels_last)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
    y = torch.from_numpy(labels).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return run


def measure(work: Work, rounds: int, seconds: float) -> tuple[list[float], list[float], float]:
    """Seconds per step here and in PyTorch, of each round, and the seconds to compile and take the first step here."""
    random = np.random.default_rng(0)
    images = random.normal(size=(work.batch_size, *work.shape)).astype(np.float32)
    labels = random.integers(work.classes, size=work.batch_size).astype(np.int32)
    return compare(canon_step(work, images, labels), torch_step(work, images, labels), rounds, seconds)


def compare(
    ours: Callable[[int], None], theirs: Callable[[int], None], rounds: int, seconds: float
) -> tuple[list[float], list[float], float]:
    """Seconds per step of two functions that take so many, alternating; see `measure`."""
    compiling = timed(ours, 1)
    theirs(1)
    steps = {run: max(1, round(seconds / timed(run, 2))) for run in (ours, theirs)}
    times: dict[Callable, list[float]] = {ours: [], theirs: []}
    for _ in range(rounds):
        for run, of_run in times.items():
            time.sleep(0.3)  # until the other side's threads have stopped spinning
            of_run.append(timed(run, steps[run]))
    return times[ours], times[theirs], compiling


def timed(run: Callable[[int], None], steps: int) -> float:
    """Seconds per step."""
    began = time.perf_counter()
    run(steps)
    return (time.perf_counter() - began) / steps


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(WORK)} (default: all)")
    parser.add_argument("--rounds", type=int, default=10, help="how often the two alternate")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    options = parser.parse_args()
    if wrong := [name for name in options.names if name not in WORK]:
        parser.error(f"no work is called {wrong[0]!r} (there are: {', '.join(WORK)})")
    print(HEADER)
    for name in options.names or WORK:
        work = WORK[name]
        print(row(name, work.batch_size, *measure(work, options.rounds, options.seconds)), flush=True)
    return 0


HEADER = f"{'':14}{'batch':>6}{'canon':>12}{'PyTorch':>12}{'ratio':>8}  quartiles       compiling"


def row(name: str, batch_size: int, ours: list[float], theirs: list[float], compiling: float) -> str:
    """A line of the table: medians of the seconds per step, and of their ratios with the quartiles."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return (
        f"{name:14}{batch_size:6}{1e3 * statistics.median(ours):9.1f} ms"
        f"{1e3 * statistics.median(theirs):9.1f} ms{middle:8.2f}  {low:.2f} to {high:.2f}{compiling:12.1f} s"
    )


if __name__ == "__main__":
    raise SystemExit(main())
