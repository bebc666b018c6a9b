"""The pipeline: batch t as a pure function of (seed, t), so that resuming needs no iterator state.

Which examples make a batch is decided in one place, `example_indices`. How they reach the device is either of two
ways with the same result: where the whole set fits on the device it stays there, and a batch is a handful of indices
that the jitted step gathers by; where it does not, Grain's threads read the examples ahead of the step. Images of
different sizes are cropped by those threads.
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import flax.struct
import grain
import jax
import numpy as np

from canon import hosts
from canon.data.crops import Crops
from canon.data.sources import Source, one_shape, read, stack
from canon.errors import UserError

Batch = Any
"""A pytree: `{"image": [batch, height, width, channels] uint8, "label": [batch] int32}`, and in an evaluation
`"mask": [batch] float32`, which is 0 for padding; or a `Resident` that stands for one. An evaluation may see several
crops of each image: `[batch, crops, height, width, channels]`."""


@flax.struct.dataclass
class Resident:
    """A batch as a choice from arrays that wait on the device: example i is row `index[i]` of every array.

    Attributes:
      arrays: a dict of arrays `[size, ...]`.
      index: `[batch]` int32.
    """

    arrays: dict[str, jax.Array]
    index: jax.Array


@flax.struct.dataclass
class Share:
    """The rows of a batch that one of several processes has read: those of its own devices.

    Attributes:
      arrays: a dict of arrays, each `[rows of this process, ...]`.
    """

    arrays: dict[str, np.ndarray]


def examples(batch: Batch) -> dict[str, jax.Array]:
    """The examples of a batch, wherever they waited. Pure, and made to run inside the jitted step."""
    if isinstance(batch, Resident):
        return {name: array[batch.index] for name, array in batch.arrays.items()}
    return batch.arrays if isinstance(batch, Share) else batch


_gather = jax.jit(examples)


@functools.lru_cache(maxsize=4)
def _epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(size).astype(np.int32)


def example_indices(size: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Which examples make the batch of step `step` (from 0): `[batch_size]` int32.

    The batches cut one endless sequence into pieces: a new permutation of all examples for every epoch, back to back,
    so that a batch may hold the end of one epoch and the beginning of the next, and no example is left out.
    """
    first_epoch, offset = divmod(step * batch_size, size)
    order = _epoch_order(size, seed, first_epoch)[offset : offset + batch_size]
    if len(order) < batch_size:
        order = np.concatenate([order, _epoch_order(size, seed, first_epoch + 1)[: batch_size - len(order)]])
    return order


class Pipeline(Protocol):
    """Where training batches and evaluation batches come from.

    Attributes:
      size: how many examples there are.
    """

    @property
    def size(self) -> int: ...

    def batch(self, seed: int, step: int) -> Batch:
        """The training batch of step `step`."""
        ...

    def batches(self, seed: int, first: int, last: int) -> Iterator[Batch]:
        """The training batches of the steps `first` to `last` − 1."""
        ...

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Every example once, in order; the last batch is filled up with examples that its mask leaves out."""
        ...


@dataclass(frozen=True)
class ResidentPipeline:
    """The set stays on the device as uint8; a batch carries indices only.

    Attributes:
      arrays: `image` and `label`, on the device.
      batch_size: examples of a training batch.
      batch_sharding: where the examples of an evaluation batch go.
    """

    arrays: dict[str, jax.Array]
    batch_size: int
    batch_sharding: jax.sharding.Sharding | None = None

    @property
    def size(self) -> int:
        return len(self.arrays["label"])

    def batch(self, seed: int, step: int) -> Batch:
        return Resident(self.arrays, example_indices(self.size, self.batch_size, seed, step))

    def batches(self, seed: int, first: int, last: int) -> Iterator[Batch]:
        return (self.batch(seed, step) for step in range(first, last))

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        for index, mask in evaluation_indices(self.size, batch_size):
            # Gathered here and not in the step: splits of different sizes would each compile the network once more.
            yield jax.device_put(_gather(Resident(self.arrays, index)), self.batch_sharding) | {"mask": mask}


@dataclass(frozen=True)
class StreamedPipeline:
    """Grain reads the examples of a batch from the source, in threads and ahead of the step that wants them.

    Attributes:
      source: where the examples are.
      batch_size: examples of a training batch.
      crops: how images of different sizes become images of one; None where they have one size already.
      process, processes: which of how many processes this is: of each batch it reads its own share.
    """

    source: Source
    batch_size: int
    crops: Crops | None = None
    process: int = 0
    processes: int = 1

    @property
    def size(self) -> int:
        return len(self.source)

    def batch(self, seed: int, step: int) -> Batch:
        def crop(position, image):
            return self.crops.training(_crop_generator(seed, step, position), image)

        return self._read(example_indices(self.size, self.batch_size, seed, step), crop)

    def batches(self, seed: int, first: int, last: int) -> Iterator[Batch]:
        return self._ahead([functools.partial(self.batch, seed, step) for step in range(first, last)])

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        def crop(position, image):
            return self.crops.evaluation(image)

        def load(index, mask):
            return self._read(index, crop, mask=mask)

        return self._ahead([functools.partial(load, *chosen) for chosen in evaluation_indices(self.size, batch_size)])

    def _ahead(self, loads: Sequence[Callable[[], Batch]]) -> Iterator[Batch]:
        return read_ahead(loads, self.crops)

    def _read(self, index: np.ndarray, crop: Callable[[int, np.ndarray], np.ndarray], **others: np.ndarray) -> Batch:
        first, last = (len(index) * i // self.processes for i in (self.process, self.process + 1))

        def crop_of_share(position: int, image: np.ndarray) -> np.ndarray:
            return crop(first + position, image)  # what it draws goes by its place in the whole batch

        chosen = [int(i) for i in index[first:last]]
        images, labels = stack(self.source, chosen, None if self.crops is None else crop_of_share)
        batch = {"image": images, "label": labels} | {name: rows[first:last] for name, rows in others.items()}
        return batch if self.processes == 1 else Share(batch)


def _crop_generator(seed: int, step: int, position: int) -> np.random.Generator:
    """What the crop of one example of one batch draws from."""
    return np.random.default_rng([seed, step, position, 1])  # NumPy takes [s, e, 0] for [s, e], an epoch's order


def read_ahead(loads: Sequence[Callable[[], Any]], crops: Crops | None) -> Iterator[Any]:
    """What each of `loads` returns, in their order, from threads that are ahead of whoever wants it."""
    # What has to be cropped is a photograph: decoding it takes milliseconds, without Python's lock, on any core.
    threads = 4 if crops is None else max(4, min(os.cpu_count() or 4, 16))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    return iter(grain.MapDataset.source(loads).map(lambda load: load()).to_iter_dataset(options))


def evaluation_indices(size: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(index `[batch_size]` int32, mask `[batch_size]` float32) of each batch of an evaluation.

    The last batch is filled up with the last example, where the mask is 0.
    """
    for start in range(0, size, batch_size):
        index = np.arange(start, start + batch_size, dtype=np.int32)
        mask = (index < size).astype(np.float32)
        yield np.minimum(index, size - 1), mask


def is_resident(source: Source, placement: str, crops: Crops | None = None) -> bool:
    """Whether a source is to stay on the device: as `placement` says, and for `auto` where it fits.

    It fits when its images take at most a quarter of the device's memory (of the host's, where the device has none).
    Images that are cropped on the host do not.

    Raises:
      UserError: the placement is none of `auto`, `device` and `stream`, or it is `device` for cropped images; or the
        images have different sizes and are not cropped.
    """
    if placement not in ("auto", "device", "stream"):
        raise UserError(f"data.placement must be auto, device or stream, not {placement!r}")
    if crops is not None:
        if placement == "device":
            raise UserError(
                "data.placement=device does not go with data.crop: the host crops each image anew; use auto"
            )
        return False
    if placement != "auto":
        return placement == "device"
    stats = jax.local_devices()[0].memory_stats() or {}
    memory = stats.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return hosts.first_says(len(source) * int(np.prod(one_shape(source))) <= memory / 4)


def create(
    source: Source,
    batch_size: int,
    placement: str = "auto",
    sharding: jax.sharding.Sharding | None = None,
    batch_sharding: jax.sharding.Sharding | None = None,
    crops: Crops | None = None,
) -> Pipeline:
    """The pipeline of a source.

    Args:
      source: the examples.
      batch_size: examples of a training batch.
      placement: `device`, `stream`, or `auto`: on the device where it fits.
      sharding: where resident examples stay. It must be where the step wants them, or every step copies the whole set;
        the default is the first device.
      batch_sharding: where the examples of an evaluation batch go; likewise.
      crops: how images of different sizes become images of one; None where they have one size already.

    Raises:
      UserError: the placement is none of these or does not go with the rest, or a batch is larger than the set.
    """
    if not 1 <= batch_size <= len(source):
        raise UserError(f"train.batch_size must be between 1 and the {len(source)} training examples, not {batch_size}")
    if not is_resident(source, placement, crops):
        return StreamedPipeline(source, batch_size, crops, jax.process_index(), jax.process_count())
    data = read(source)
    arrays = {"image": data.images, "label": data.labels}
    if hosts.several():  # `device_put` would have all of them exchange the whole set, to compare it
        arrays = {n: jax.make_array_from_callback(a.shape, sharding, lambda i, a=a: a[i]) for n, a in arrays.items()}
    return ResidentPipeline(jax.device_put(arrays, sharding), batch_size, batch_sharding)
