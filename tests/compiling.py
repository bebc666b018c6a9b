"""How programs are compiled that are only tested: they compile much and compute little."""

from importlib import metadata

_MAY_CHOOSE = tuple(map(int, metadata.version("jaxlib").split(".")[:2])) < (0, 11)
"""Newer ones write out fused operations in one way only, and end at a flag that they do not know."""

FLAGS = "--xla_backend_optimization_level=0"
"""For `XLA_FLAGS`."""

AS_LAUNCHED: dict[str, bool] = {}
"""Compiler options with which fused operations are written out as they are in a launch: for tests of bits that two
programs agree in, and of gradients that hang on whether a value computed twice is the same."""

if _MAY_CHOOSE:
    # For LLVM at once, not by way of MLIR: three fifths of the time.
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
    AS_LAUNCHED["xla_cpu_use_fusion_emitters"] = True
