"""What a run was trained with and on: versions and hardware, for the record."""

import functools
import os
import platform
from importlib import metadata
from pathlib import Path

import jax

_PACKAGES = ("canon", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "pillow")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that compute."""
    return {"python": platform.python_version()} | {package: _version(package) for package in _PACKAGES}


@functools.cache  # reading one takes milliseconds, and each of a study's runs asks for all
def _version(package: str) -> str:
    return metadata.version(package)


def hardware(devices: int) -> dict[str, str | int]:
    """The kind of device, how many of them a run uses, the processor, and the cores that this process may run on."""
    device = jax.local_devices()[0]
    return {
        "device": "cpu" if device.platform == "cpu" else device.device_kind,
        "devices": devices,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
