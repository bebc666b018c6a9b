"""What XLA is told when a program is compiled, by the platform that it is for."""

_QUICK_ON_CPU = {
    # Convolutions by Eigen: with YNNPACK, the default of jax 0.10 and 0.12, the gradient of a 3×3 kernel takes two to
    # six times as long. Products of matrices stay with YNNPACK.
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
    # The pass that drops `lax.optimization_barrier` before operations are fused: see `canon.layers.materialized`.
    "xla_disable_hlo_passes": "cse_barrier_expander",
}

_DETERMINISTIC = {"xla_gpu_deterministic_ops": True, "xla_gpu_exclude_nondeterministic_ops": True}


def compile_options(platform: str, deterministic: bool = False) -> dict[str, bool | str]:
    """For `jax.jit(..., compiler_options=...)`: what makes a network's program quick, and changes no result beyond
    rounding.

    Args:
      platform: of the devices that it is for, as `jax.Device.platform` has it; there are options for `cpu` alone.
      deterministic: take no operation of a GPU's whose result differs from run to run; a CPU and a TPU have none.
    """
    quick = _QUICK_ON_CPU if platform == "cpu" else {}
    return quick | (_DETERMINISTIC if deterministic else {})
