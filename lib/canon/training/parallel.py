"""Transformations: what takes a step, or the gradient in it, and returns one that runs somewhere.

The section `parallel` of a config chooses; the step is the same. Under `jit` there is one program over all devices,
which draws the same random numbers however many they are. Under `pmap` each device runs the step with its part of the
batch, and draws numbers of its own, for augmentation and dropout.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from canon.compile_options import compile_options
from canon.data.pipeline import Batch, Resident, Share
from canon.errors import UserError, did_you_mean
from canon.training import gradient as gradients
from canon.training.compiled import Compiled
from canon.training.gradient import Gradient, Sums
from canon.training.op_by_op import op_by_op
from canon.training.state import TrainState
from canon.training.task import CARRY, Task

AXIS = "data"
"""The axis of a mesh over which a batch is split."""

STEPS = ("jit", "pmap")
"""What `parallel.step` can be."""

SEEDS = ("sequential", "concurrent", "unroll", "vmap", "auto")
"""What `parallel.seeds` can be."""

STATISTICS = ("global", "device")
"""What `parallel.batch_statistics` can be."""


def check(config: ConfigDict, batch_size: int) -> Mesh:
    """The mesh that the section `parallel` of a config asks for.

    Raises:
      UserError: the section cannot be had, for batches of that size or at all.
    """
    for name, known in (("step", STEPS), ("batch_statistics", STATISTICS), ("seeds", SEEDS)):
        if config[name] not in known:
            raise UserError(
                f"parallel.{name} must be one of {', '.join(known)}, not {config[name]!r}"
                f"{did_you_mean(config[name], known)}"
            )
    mesh = data_mesh(config.devices, batch_size)
    if config.step == "pmap" and jax.process_count() > 1:
        raise UserError("parallel.step=pmap is for the devices of one process; for several use parallel.step=jit")
    if config.step == "pmap" and config.deterministic:
        raise UserError("parallel.deterministic=true goes with parallel.step=jit: pmap takes no compiler options")
    if config.seeds not in ("sequential", "concurrent") and (config.step == "pmap" or jax.process_count() > 1):
        raise UserError(
            f"parallel.seeds={config.seeds} is for one process, and for parallel.step=jit; else leave it sequential"
        )
    if config.micro_batches < 1:
        raise UserError(f"parallel.micro_batches must be at least 1, not {config.micro_batches}")
    if batch_size // mesh.size % config.micro_batches:
        raise UserError(
            f"parallel.micro_batches={config.micro_batches} does not divide the {batch_size // mesh.size} examples of "
            f"train.batch_size={batch_size} that each of {mesh.size} devices has"
        )
    return mesh


def is_concurrent(config: ConfigDict, mesh: Mesh) -> bool:
    """Whether several programs can be on their way at the same time: where each of them is for one device.

    Parts of a program on different devices wait for each other, and of two programs they could do so for ever.
    """
    return mesh.size == 1 and config.step == "jit"


def data_mesh(devices: int, batch_size: int) -> Mesh:
    """A mesh with one axis, `AXIS`, over the first `devices` devices of every process; 0 takes all of them.

    Raises:
      UserError: there are not so many, or they do not divide the batch.
    """
    available, processes = jax.local_devices(), jax.process_count()
    if not 0 <= devices <= len(available):
        raise UserError(f"parallel.devices must be between 0 (all) and the {len(available)} there are, not {devices}")
    of_each: dict[int, list[jax.Device]] = {}
    for device in jax.devices():
        of_each.setdefault(device.process_index, []).append(device)
    if len({len(its) for its in of_each.values()}) > 1:
        counts = ", ".join(str(len(of_each[process])) for process in sorted(of_each))
        raise UserError(f"processes need as many devices each, and have {counts}")
    chosen = [d for process in sorted(of_each) for d in of_each[process][: devices or len(available)]]
    if batch_size % len(chosen):
        of = f"{len(chosen)} devices{f' of {processes} processes' if processes > 1 else ''}"
        raise UserError(f"train.batch_size {batch_size} cannot be split evenly over {of}")
    return Mesh(np.array(chosen), (AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Everything on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The first axis cut evenly over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def _batch_sharding(batch: Batch, mesh: Mesh):
    if isinstance(batch, Resident):
        return Resident(replicated(mesh), split(mesh))
    return split(mesh)


def in_parts(task: Task, config: ConfigDict, mesh: Mesh) -> Gradient:
    """The gradient of a task, in the parts that the section `parallel` of a config asks for."""
    is_mapped = config.step == "pmap" or config.batch_statistics == "device"
    if config.micro_batches == 1 and not is_mapped:
        return gradients.of_task(task)
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    sums = gradients.accumulate(gradients.sums(task), config.micro_batches, unroll=on_cpu)
    if is_mapped:
        sums = gradients.across(sums, AXIS, config.batch_statistics == "global")
    if config.step != "pmap" and is_mapped:
        sums = _on_each_device(sums, mesh)
    return gradients.mean(sums)


def key_of_device(key: jax.Array, config: ConfigDict) -> jax.Array:
    """What a step draws from where the section `parallel` runs it: under `pmap` each device from a key of its own."""
    return jax.random.fold_in(key, jax.lax.axis_index(AXIS)) if config.step == "pmap" else key


def _on_each_device(sums: Sums, mesh: Mesh) -> Sums:
    """For use under `jit`: `sums` runs on every device with its part of the batch."""
    everywhere, rows = PartitionSpec(), PartitionSpec(AXIS)

    def mapped(params, task_state, batch, key):
        of_state = {name: rows if name == CARRY else everywhere for name in task_state}
        # Unchecked: with the check JAX takes the gradient for a sum over devices already, which is silently wrong.
        return jax.shard_map(
            sums,
            mesh=mesh,
            in_specs=(everywhere, of_state, rows, everywhere),
            out_specs=(everywhere, everywhere, of_state, everywhere),
            check_vma=False,
        )(params, task_state, batch, key)

    return mapped


def compile_step(step: Callable, config: ConfigDict, mesh: Mesh, batch: Batch) -> Compiled:
    """A train step, compiled as the section `parallel` of a config asks; it uses up the state that it is given."""
    if config.step == "pmap":
        return Compiled(pmap(step, mesh, batch, donate_state=True))
    return jit(step, mesh, batch, donate_state=True, deterministic=config.deterministic)


def jit(step: Callable, mesh: Mesh, batch: Batch, donate_state: bool = False, deterministic: bool = False) -> Compiled:
    """`step(state, batch)` compiled for a mesh: the state on every device, the batch split over them.

    Under jit the program is that of the whole batch, so that batch normalisation sees all of it, and the results are
    those of one device up to rounding.

    Args:
      step: a pure function of a `TrainState` and a batch.
      mesh: see `data_mesh`.
      batch: any batch of the kind that the step will be given; only its structure counts.
      donate_state: let the step write its new state into the old one's memory; the old one cannot be used again.
      deterministic: take no operation of a GPU's whose result differs from run to run; a CPU and a TPU have none.
    """
    compiled = jax.jit(
        step,
        in_shardings=(replicated(mesh), _batch_sharding(batch, mesh)),
        out_shardings=replicated(mesh),
        donate_argnums=(0,) if donate_state else (),
        compiler_options=compile_options(mesh.devices.flat[0].platform, deterministic),
    )
    alone = jax.process_count() == 1
    return Compiled(compiled if alone else lambda state, batch: compiled(state, place(batch, mesh)))


def jit_many(
    steps: Sequence[Callable], mesh: Mesh, batch: Batch, strategy: str, deterministic: bool = False
) -> Callable:
    """`many(states, batches) -> (states, metrics)`, tuples of as many as there are steps, each taken in one program.

    Args:
      steps: see `jit`; of one run each, whose batches are of one shape.
      mesh, batch, deterministic: see `jit`.
      strategy: `unroll`, the steps written out one after another; or `vmap`, for steps that are all the same: one of
        arrays with an axis more, whose results are those of single steps up to rounding.
    """
    members = len(steps)

    def unrolled(states: tuple, batches: tuple):
        return tuple(zip(*(step(*each) for step, *each in zip(steps, states, batches, strict=True)), strict=True))

    def mapped(states: tuple, batches: tuple):
        of_batch = Resident(arrays=None, index=0) if isinstance(batch, Resident) else 0
        stacked = jax.tree.map(_stack, *batches)
        if isinstance(batch, Resident):
            stacked = batches[0].replace(index=_stack(*(each.index for each in batches)))
        outcome = jax.vmap(steps[0], in_axes=(0, of_batch))(jax.tree.map(_stack, *states), stacked)
        states, metrics = ([jax.tree.map(lambda a, i=i: a[i], tree) for i in range(members)] for tree in outcome)
        return tuple(states), tuple(metrics)

    return jax.jit(
        {"unroll": unrolled, "vmap": mapped}[strategy],
        in_shardings=(replicated(mesh), (_batch_sharding(batch, mesh),) * members),
        out_shardings=replicated(mesh),
        donate_argnums=(0,),
        compiler_options=compile_options(mesh.devices.flat[0].platform, deterministic),
    )


def _stack(*arrays: jax.Array) -> jax.Array:
    return jnp.stack(arrays)


def whole_shapes(batch: Batch) -> Batch:
    """A batch's shapes, of the rows of all processes."""
    if isinstance(batch, Share):
        processes = jax.process_count()
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct((processes * a.shape[0], *a.shape[1:]), a.dtype), batch.arrays
        )
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), batch)


def place(batch: Batch, mesh: Mesh) -> Batch:
    """A batch as one array over the devices of all processes; what is on devices already stays there.

    Of a NumPy array every process has all rows, and gives those of its own devices; a `Share` has these alone.
    """

    def whole(rows: jax.typing.ArrayLike) -> jax.Array:
        if not isinstance(rows, np.ndarray):
            return rows
        return jax.make_array_from_callback(rows.shape, split(mesh), lambda index: rows[index])

    if isinstance(batch, Share):
        local = functools.partial(jax.make_array_from_process_local_data, split(mesh))
        return jax.tree.map(lambda rows: local(rows) if isinstance(rows, np.ndarray) else rows, batch.arrays)
    return jax.tree.map(whole, batch)


def pmap(step: Callable, mesh: Mesh, batch: Batch, donate_state: bool = False) -> Callable:
    """`step(state, batch)` run by `jax.pmap` on each device of a mesh, with its part of the batch and of the carry.

    The gradient in it has to be that of all devices: see `canon.training.gradient.across`. No axis of devices shows
    outside; arguments are those of `jit`.
    """
    devices = list(mesh.devices.flat)
    of_state = TrainState(step=None, seed=None, params=None, model_state=None, opt_state=None, carry=0)
    of_batch = Resident(arrays=None, index=0) if isinstance(batch, Resident) else 0
    mapped = jax.pmap(
        step,
        AXIS,
        in_axes=(of_state, of_batch),
        out_axes=(of_state, None),
        devices=devices,
        donate_argnums=(0,) if donate_state else (),
    )

    def cut(rows: jax.Array) -> jax.Array:
        return rows.reshape(len(devices), -1, *rows.shape[1:])

    def join(rows: jax.Array) -> jax.Array:
        return rows.reshape(-1, *rows.shape[2:])

    def run(state: TrainState, batch: Batch):
        is_resident = isinstance(batch, Resident)
        batch = batch.replace(index=cut(batch.index)) if is_resident else jax.tree.map(cut, batch)
        carry = jax.tree.map(lambda a: jax.device_put(cut(a), split(mesh)), state.carry)
        state, metrics = mapped(state.replace(carry=carry), batch)
        return state.replace(carry=jax.tree.map(join, state.carry)), metrics

    return run


def compile_init(init: Callable[[jax.Array], TrainState], mesh: Mesh) -> tuple[Callable[[int], TrainState], TrainState]:
    """What makes the state before the first step, on every device of a mesh, from a seed; and the shapes of the state.

    It runs once, so the least time to compile counts: on a CPU see `canon.training.op_by_op`.
    """
    on_cpu, place = mesh.devices.flat[0].platform == "cpu", replicated(mesh)
    if on_cpu and jax.process_count() == 1:
        run, shapes = op_by_op(init, jax.ShapeDtypeStruct((), jnp.uint32))
        return lambda seed: jax.device_put(run(jnp.uint32(seed)), place), shapes
    options = {"xla_backend_optimization_level": 0} if on_cpu else None  # else up to half a minute for 56 layers
    compiled = jax.jit(init, out_shardings=place, compiler_options=options)
    return lambda seed: compiled(jnp.uint32(seed)), jax.eval_shape(init, jax.ShapeDtypeStruct((), jnp.uint32))
