"""What is known of the devices: their peak of speed, their memory, and what to do where it is too small."""

import contextlib
from collections.abc import Iterator

import jax
from ml_collections import ConfigDict

from canon.errors import UserError

# Dense operations a second in bfloat16 (on a V100 and a T4 in float16), a product and a sum as two: the makers' data
# sheets, for the SXM form where there are several. The longest name that a device's kind holds is its own.
_PEAK = {
    "V100": 125e12,
    "T4": 65e12,
    "A10": 125e12,
    "A100": 312e12,
    "L4": 121e12,
    "L40S": 362e12,
    "H100": 989e12,
    "H200": 989e12,
    "TPU v2": 46e12,
    "TPU v3": 123e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
}


def peak(kind: str) -> float | None:
    """Floating-point operations a second that a kind of device can do at most, in 16 bits; None where none is known."""
    known = [name for name in _PEAK if name.lower() in kind.lower()]
    return _PEAK[max(known, key=len)] if known else None


def speed(multiply_adds: int, step_seconds: float, devices: int) -> dict[str, float]:
    """What there is to record of the speed of a step of so many multiply-adds.

    `speed/flops_per_second` counts what the network's products of matrices and convolutions need; `speed/utilization`
    is its share of the devices' peak in 16 bits, whatever the network computes in, where that peak is known.
    """
    flops = 2 * multiply_adds / step_seconds
    its_peak = peak(jax.local_devices()[0].device_kind)
    return {"speed/flops_per_second": flops} | ({"speed/utilization": flops / (devices * its_peak)} if its_peak else {})


def memory() -> dict[str, float]:
    """The most that this process has used of a device's memory, where devices tell: `memory/peak_bytes`."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    used = [of_device["peak_bytes_in_use"] for of_device in stats if "peak_bytes_in_use" in of_device]
    return {"memory/peak_bytes": float(max(used))} if used else {}


@contextlib.contextmanager
def explaining_memory(config: ConfigDict, evaluating: bool = False) -> Iterator[None]:
    """Within, that the memory of a device does not hold a step is a `UserError` which says what helps.

    Args:
      config: of the run.
      evaluating: what is under way is an evaluation, and no step.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error) and "Out of memory" not in str(error):
            raise
        of_device = jax.local_devices()[0]
        limit = (of_device.memory_stats() or {}).get("bytes_limit")
        size = f" of {limit / 2**30:.1f} GiB" if limit else ""
        parts, of_each = config.parallel.micro_batches, config.train.batch_size // (config.parallel.devices or 1)
        more = next((n for n in range(parts + 1, of_each + 1) if of_each % n == 0), None)
        cut = f" cut the batch into more of them with --config.parallel.micro_batches={more}," if more else ""
        remat = " set --config.model.remat=true," if config.model.get("remat") is False else ""
        if evaluating:
            raise UserError(
                f"the memory{size} of {of_device.device_kind} does not hold an evaluation; set a --config.train."
                f"evaluation_batch_size below {config.train.evaluation_batch_size}, or give it more devices"
            ) from error
        raise UserError(
            f"the memory{size} of {of_device.device_kind} does not hold a step of {config.train.batch_size} examples "
            f"in {parts} part{'s' if parts > 1 else ''};{cut}{remat} or give it more devices or a smaller "
            "--config.train.batch_size"
        ) from error
