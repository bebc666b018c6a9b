"""Peaks of devices, and what is said where their memory is too small."""

import jax
import pytest
from tests.training.runs import build

from canon.errors import UserError
from canon.training import device, loop


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A10G", 125e12),
        ("NVIDIA L40S", 362e12),
        ("TPU v5 lite", 197e12),
        ("cpu", None),
    ],
)
def test_the_longest_known_name_is_a_devices_own(kind, peak):
    assert device.peak(kind) == peak


def test_speed_counts_two_operations_a_multiply_add_and_knows_no_peak_of_a_cpu():
    assert device.speed(500, 0.5, devices=2) == {"speed/flops_per_second": 2000.0}


def test_utilization_is_the_share_of_all_devices(monkeypatch):
    monkeypatch.setattr(device, "peak", lambda kind: 1000.0)
    assert device.speed(500, 0.5, devices=4)["speed/utilization"] == 0.5


@pytest.mark.parametrize("text", ["RESOURCE_EXHAUSTED: trying to allocate 7 bytes.", "Out of memory"])
def test_too_large_a_batch_names_the_memory_and_what_helps(tiny_config, tmp_path, text, monkeypatch):
    built = build(tiny_config, parallel={"micro_batches": 2})

    def too_large(state, batch):
        raise jax.errors.JaxRuntimeError(text)

    object.__setattr__(built, "train_step", too_large)
    message = r"memory of cpu does not hold a step of 32 examples in 2 parts; .*micro_batches=4"
    with pytest.raises(UserError, match=message):
        loop.train(built, 0, tmp_path / "run")


def test_other_errors_of_a_device_are_left_as_they_are(tiny_config):
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), device.explaining_memory(tiny_config):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
