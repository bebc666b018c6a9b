"""What the tests of networks share: the other side, in PyTorch."""

import pytest


@pytest.fixture(scope="session")
def torch_networks():
    """`benchmarks.torch_networks`, written from the papers with nothing of canon; skips where PyTorch is missing."""
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    torch.set_num_threads(1)  # the tests run on all cores already
    from benchmarks import torch_networks

    return torch_networks
