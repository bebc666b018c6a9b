"""How programs are compiled that are only tested: they compile much and compute little."""

from importlib import metadata

FLAGS = "--xla_backend_optimization_level=0"
"""For `XLA_FLAGS`."""

if tuple(map(int, metadata.version("jaxlib").split(".")[:2])) < (0, 11):
    # Fused operations are written out for LLVM at once, not by way of MLIR: three fifths of the time. Newer ones know
    # only the long way, and end at a flag that they do not know.
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
