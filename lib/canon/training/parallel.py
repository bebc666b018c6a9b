"""Transformations: what takes a step and returns a step that runs somewhere."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from canon.data.pipeline import Batch, Resident
from canon.errors import UserError
from canon.training.state import TrainState


def data_mesh(devices: int, batch_size: int) -> Mesh:
    """A mesh with one axis, `data`, over this process's first `devices` devices; 0 takes all of them.

    Raises:
      UserError: there are not so many, or they do not divide the batch.
    """
    available = jax.local_devices()
    if not 0 <= devices <= len(available):
        raise UserError(f"parallel.devices must be between 0 (all) and the {len(available)} there are, not {devices}")
    devices = devices or len(available)
    if batch_size % devices:
        raise UserError(f"train.batch_size {batch_size} cannot be split evenly over {devices} devices")
    return Mesh(np.array(available[:devices]), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """Everything on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The first axis cut evenly over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def _batch_sharding(batch: Batch, mesh: Mesh):
    if isinstance(batch, Resident):
        return Resident(replicated(mesh), split(mesh))
    return split(mesh)


def jit(step: Callable, mesh: Mesh, batch: Batch, donate_state: bool = False) -> Callable:
    """`step(state, batch)` compiled for a mesh: the state on every device, the batch split over them.

    Under jit the program is that of the whole batch, so that batch normalisation sees all of it, and the results are
    those of one device up to rounding.

    Args:
      step: a pure function of a `TrainState` and a batch.
      mesh: see `data_mesh`.
      batch: any batch of the kind that the step will be given; only its structure counts.
      donate_state: let the step write its new state into the old one's memory; the old one cannot be used again.
    """
    return jax.jit(
        step,
        in_shardings=(replicated(mesh), _batch_sharding(batch, mesh)),
        out_shardings=replicated(mesh),
        donate_argnums=(0,) if donate_state else (),
    )


def jit_init(init: Callable[[jax.Array], TrainState], mesh: Mesh) -> Callable[[jax.Array], TrainState]:
    """`init(seed)` compiled for a mesh, in the least time.

    It runs once and holds the code of one random draw for every parameter: compiled as carefully as a step, that of
    a 56-layer net takes XLA's CPU backend up to half a minute; without optimisation, three seconds.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return jax.jit(
        init,
        out_shardings=replicated(mesh),
        compiler_options={"xla_backend_optimization_level": 0} if on_cpu else None,
    )
