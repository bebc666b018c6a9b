"""A program: all of a run that does not depend on its seed, built once and compiled once for every seed of an arm."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from canon import catalog, multiply_adds, optimizers, schedules
from canon.data.pipeline import Batch, Pipeline, ResidentPipeline
from canon.errors import UserError
from canon.generation import decoding
from canon.layers import quick
from canon.training import (
    captioning_workload,
    image_workload,
    parallel,
    peptide_workload,
    reconstruction_workload,
    sequence_workload,
    text_workload,
    translation_workload,
)
from canon.training.compiled import Compiled
from canon.training.state import TrainState, initial_state
from canon.training.step import (
    FIRST_NOT_FINITE,
    TrainStep,
    make_evaluation_step,
    make_objective,
    make_train_step,
)
from canon.training.task import Variables

WORKLOADS = {
    "captioning": captioning_workload.create,
    "classification": image_workload.create,
    "language_model": text_workload.create,
    "peptide_binding": peptide_workload.create,
    "reconstruction": reconstruction_workload.create,
    "sequence_classification": sequence_workload.create,
    "tagging": sequence_workload.create_tagging,
    "translation": translation_workload.create,
}
"""By `config.task`, what makes the part of a program that knows what the examples are."""


DECODED = ("captioning", "translation")
"""The tasks whose networks write sequences, which an evaluation decodes."""


@dataclass(frozen=True)
class Program:
    """What the loop runs.

    Attributes:
      config: of the arm, complete.
      pipelines: by split: `train`, `validation` where one is held out, `test`.
      init: from a seed to the state before the first step.
      abstract_state: the shapes, dtypes and places of a state, to restore one into.
      objective: of parameters, a state and a batch, a pure function; see `canon.training.step.make_objective`.
      step, mesh: the train step as a pure function, and where it runs.
      train_step: it, compiled on its first call; it consumes the state that it is given.
      evaluation_step: likewise, but it leaves the state alone.
      views: by split, how often an evaluation sees each example, as so many crops.
      vocabularies, checksums, derive, measure: see `canon.training.workload.Workload`.
    """

    config: ConfigDict
    pipelines: dict[str, Pipeline]
    init: Callable[[int], TrainState]
    abstract_state: TrainState
    objective: Callable[[Variables, TrainState, Batch], jax.Array]
    step: TrainStep
    mesh: Mesh
    train_step: Compiled
    evaluation_step: Compiled
    views: Mapping[str, int]
    vocabularies: Mapping[str, tuple[str, ...]]
    checksums: Mapping[str, int]
    derive: Callable[[dict[str, float]], dict[str, float]]
    measure: Callable[[Variables, str, int], dict[str, float]]

    def evaluation_batch_size(self, split: str) -> int:
        """Examples in a batch of an evaluation: `train.evaluation_batch_size`, in which every crop of an image counts.

        It is no more than the largest split, and rounded up to the next multiple of the devices.
        """
        wanted = max(1, self.config.train.evaluation_batch_size // self.views.get(split, 1))
        wanted = min(wanted, max(pipeline.size for pipeline in self.pipelines.values()))
        return -(-wanted // self.devices) * self.devices

    def recorded(self) -> set[str]:
        """The names of what every step of training records, found without running one."""
        example = parallel.whole_shapes(self.pipelines["train"].batch(seed=0, step=0))
        _, metrics = jax.eval_shape(self._traceable_step(), self.abstract_state, example)
        del metrics[FIRST_NOT_FINITE]
        derived = self.derive({f"batch/{name}": 0.0 for name in metrics})
        return {*metrics, *(name.removeprefix("batch/") for name in derived)}

    def leaf(self, number: int) -> str:
        """What `FIRST_NOT_FINITE` stands for: `gradient of fc1/kernel`."""
        paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(self.abstract_state.params)]
        if number == len(paths):
            return "update"
        return f"gradient of {jax.tree_util.keystr(paths[number], simple=True, separator='/')}"

    @functools.cached_property
    def multiply_adds(self) -> int:
        """Of a training step, on all devices: convolutions, products of matrices, and their gradients.

        What `remat` computes a second time counts a second time.
        """
        example = parallel.whole_shapes(self.pipelines["train"].batch(seed=0, step=0))

        def objective(*arguments):  # a new function: JAX keeps the traces of a function
            return self.objective(*arguments)

        with quick.off():
            return multiply_adds.of_gradient(objective, self.abstract_state.params, self.abstract_state, example)

    def _traceable_step(self) -> TrainStep:
        """The step as a new function: JAX keeps the traces of a function, and traces none with compile options."""

        def step(state: TrainState, batch: Batch):
            return self.step(state, batch)

        if self.config.parallel.step != "pmap":
            return step
        return parallel.pmap(step, self.mesh, self.pipelines["train"].batch(seed=0, step=0))

    def compile(self) -> None:
        """Compiles the train step, and of data that stay on the device the evaluation step, so that their first calls
        need not; whoever calls them meanwhile waits.

        For one device of one process, and `parallel.step=jit`.
        """
        batch = self.pipelines["train"].batch(seed=0, step=0)
        self.train_step.compile(self.abstract_state, batch)
        for split, pipeline in self.pipelines.items():
            if not isinstance(pipeline, ResidentPipeline):
                continue
            size = self.evaluation_batch_size(split)
            batch = next(iter(pipeline.evaluation_batches(size)))
            self.evaluation_step.compile(self.abstract_state.forget(size), batch)

    @property
    def is_compiled(self) -> bool:
        """Whether the train step is: a run of it begins at once."""
        return self.train_step.is_ready

    @property
    def devices(self) -> int:
        """How many devices it runs on, of all processes."""
        return (self.config.parallel.devices or jax.local_device_count()) * jax.process_count()


WATCHED = ("activity", "gradients")
"""What `train.watch` can hold."""

_MOST_STEPS = 2**31 - 1  # the state counts in int32


def _check(train: ConfigDict, task: str) -> None:
    for name in (
        "batch_size",
        "steps",
        "log_every",
        "evaluate_every",
        "checkpoint_every",
        "evaluation_batch_size",
        "keep_checkpoints",
    ):
        if train[name] < 1:
            raise UserError(f"train.{name} must be at least 1, not {train[name]}")
    most_beams = decoding.MOST_BEAMS if task in DECODED else 1
    if not 1 <= train.beams <= most_beams:
        raise UserError(f"train.beams must be from 1 to {most_beams} for the task {task}, not {train.beams}")
    if not 0 <= train.target_error < 1:
        raise UserError(f"train.target_error must be at least 0 and below 1, not {train.target_error}")
    if train.give_up_after < 0 or (train.give_up_after and not (train.target_error and train.stop_at_target)):
        raise UserError(
            f"train.give_up_after={train.give_up_after} must be 0, or above 0 with train.target_error and "
            "train.stop_at_target"
        )
    if train.steps > _MOST_STEPS:
        raise UserError(f"train.steps must be at most {_MOST_STEPS:,}, not {train.steps:,}")


def build(config: ConfigDict) -> Program:
    """The program of an arm. It reads the data, and compiles and writes nothing.

    Raises:
      UserError: something in the config does not exist or does not fit; the message says what.
    """
    _check(config.train, config.task)
    watch = [word.strip() for word in config.train.watch.split(",") if word.strip()]
    if unknown := set(watch) - set(WATCHED):
        raise UserError(f"train.watch takes any of {', '.join(WATCHED)}, not {min(unknown)!r}")
    schedule = schedules.create(**config.schedule, steps=config.train.steps)
    optimizer = optimizers.create(**config.optimizer, learning_rate=schedule)
    mesh = parallel.check(config.parallel, config.train.batch_size)
    workload = catalog.look_up("task", WORKLOADS, config.task)(config, mesh, "activity" in watch)
    task, batches, prepare = workload.task, workload.pipelines, workload.preprocess
    example = batches["train"].batch(seed=0, step=0)
    seen = jax.eval_shape(lambda batch: prepare(batch, None), example)

    def init(seed: jax.Array) -> TrainState:
        blank = jax.tree.map(lambda a: jax.numpy.zeros(a.shape, a.dtype), seen)
        return initial_state(task, optimizer, blank, seed)

    compiled_init, abstract = parallel.compile_init(init, mesh)
    place = parallel.replicated(mesh)
    gradient = parallel.in_parts(task, config.parallel, mesh)
    own_key = functools.partial(parallel.key_of_device, config=config.parallel)
    train_step = make_train_step(gradient, optimizer, schedule, prepare, "gradients" in watch, own_key)
    return Program(
        config=config,
        pipelines=batches,
        init=compiled_init,
        abstract_state=jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), abstract),
        objective=make_objective(task, prepare),
        step=train_step,
        mesh=mesh,
        train_step=parallel.compile_step(train_step, config.parallel, mesh, example),
        evaluation_step=parallel.jit(make_evaluation_step(task, prepare), mesh, batch={}),
        views=workload.views,
        vocabularies=workload.vocabularies,
        checksums=workload.checksums,
        derive=workload.derive,
        measure=workload.measure,
    )
