"""How much of the bare train step's speed the whole loop keeps: batches, step, metrics, logging.

    python -m benchmarks.loop [--data_dir=DIR] [--rounds=12]

For ResNet-20 on CIFAR-10 and for an MLP (784-800-800-10) on MNIST, both with batches of 128. A run trains through
`canon.training.loop` as an experiment does; between two of its lines of metrics the same compiled step is called as
often on one and the same batch, and nothing else. So the two alternate in one process, and a ratio is that of two
neighbours. What counts for the loop is all the time between two lines, writing them included; evaluations and
checkpoints do not occur, since they are not the loop's own work.

Data sets are read as `launch.py prepare` leaves them.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import jax
from ml_collections import ConfigDict

from benchmarks.one_line import OneLine
from canon import config as canon_config
from canon import huge_pages
from canon.commands import runtime
from canon.errors import UserError
from canon.study import plan
from canon.training import loop, program

# name: model, data set, augmented, steps between two lines
WORK = {
    "resnet20": ({"name": "cifar_resnet", "depth": 20}, "cifar10", True, 10),
    "mlp": ({"name": "mlp", "hidden": (800, 800)}, "mnist", False, 100),
}


class Alternate:
    """An observer that runs the bare step after every line of metrics, for as many steps as the line stands for."""

    def __init__(self, built: program.Program, steps: int):
        self._step = built.train_step
        self._state = built.init(1)
        self._batch = built.pipelines["train"].batch(seed=0, step=0)
        self._steps = steps
        self._left_at: float | None = None
        self.loop_seconds: list[float] = []
        self.bare_seconds: list[float] = []

    def started(self, step: int, steps: int) -> None:
        pass

    def evaluating(self, step: int, split: str, examples: int) -> None:
        pass

    def recorded(self, step: int, values: dict[str, float]) -> None:
        now = time.perf_counter()
        if self._left_at is not None:  # the first line's steps include compiling
            self.loop_seconds.append(now - self._left_at)
        began = time.perf_counter()
        for _ in range(self._steps):
            self._state, metrics = self._step(self._state, self._batch)
        jax.block_until_ready(metrics)
        if self._left_at is not None:
            self.bare_seconds.append(time.perf_counter() - began)
        self._left_at = time.perf_counter()


def measure(name: str, data_dir: str, rounds: int) -> tuple[float, float, list[float]]:
    """Examples per second of the bare step and of the loop (medians), and the ratio of every round."""
    model, source, augmented, steps = WORK[name]
    config = canon_config.default()
    config.model = ConfigDict(model)
    config.optimizer = ConfigDict({"name": "momentum", "weight_decay": 1e-4})
    config.schedule = ConfigDict({"name": "constant", "learning_rate": 0.01})
    config.data.source, config.data.data_dir = source, data_dir
    config.augment.pad_crop, config.augment.flip = (4, True) if augmented else (0, False)
    config.train.steps = steps * (rounds + 1) + 1  # one more: the last step would evaluate
    config.train.log_every = steps
    config.train.evaluate_every = config.train.checkpoint_every = 10**9
    config.arms = ConfigDict({"only": {}})
    built = program.build(plan.arm_configs(plan.complete(config))["only"])
    alternate = Alternate(built, steps)
    with tempfile.TemporaryDirectory() as directory:
        try:
            done = lambda: len(alternate.bare_seconds) == rounds  # noqa: E731
            loop.train(built, 0, Path(directory), alternate, should_stop=done)
        except loop.Interrupted:
            pass
    examples = steps * config.train.batch_size
    ratios = [bare / whole for bare, whole in zip(alternate.bare_seconds, alternate.loop_seconds, strict=True)]
    bare, whole = (examples / statistics.median(s) for s in (alternate.bare_seconds, alternate.loop_seconds))
    return bare, whole, ratios


def main() -> int:
    """Prints the table."""
    parser = OneLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", default="", help="where the prepared sets are (default: TFDS_DATA_DIR)")
    parser.add_argument("--rounds", type=int, default=12, help="how often the two alternate")
    options = parser.parse_args()
    runtime.start()
    print(f"{'':10} {'bare step':>14} {'loop':>14} {'ratio':>7}   lowest and highest ratio of {options.rounds} rounds")
    for name in WORK:
        try:
            bare, whole, ratios = measure(name, options.data_dir, options.rounds)
        except UserError as error:
            print(f"{name:10} {error}")
            continue
        print(
            f"{name:10} {bare:10,.0f} ex/s {whole:10,.0f} ex/s {statistics.median(ratios):7.3f}   "
            f"{min(ratios):.3f} to {max(ratios):.3f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    huge_pages.restart()  # as a launch does
    raise SystemExit(main())
