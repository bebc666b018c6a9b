"""Whole networks: the forms that a CPU is quick at against those that papers write."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon import models
from canon.compile_options import compile_options
from canon.layers import quick
from canon.layers.convolution import Conv
from canon.layers.materialized import materialized

NETWORKS = {
    "cifar_resnet": ({"name": "cifar_resnet", "depth": 8}, (16, 16, 3)),
    "lenet5_modern": ({"name": "lenet5_modern"}, (28, 28, 1)),
    "alexnet_fig1": ({"name": "alexnet_fig1"}, (32, 32, 3)),
    "mlp": ({"name": "mlp", "hidden": (20,)}, (8, 8, 1)),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_gives_the_same_logits_statistics_and_gradients_either_way(network, random):
    arguments, shape = NETWORKS[network]
    model = models.create(**arguments)
    images = random.normal(size=(8, *shape)).astype(np.float32)

    def outcome():
        variables = model.init(jax.random.key(0), images)
        params, rest = variables["params"], {k: v for k, v in variables.items() if k != "params"}

        def loss(params):
            logits, new = model.apply({"params": params, **rest}, images, train=True, mutable=list(rest))
            return jnp.square(logits).sum(), (logits, new)

        return jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=compile_options("cpu"))(params)

    ours = outcome()
    with quick.off():
        theirs = outcome()

    def same(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(1, float(jnp.abs(b).max())))

    jax.tree.map(same, ours, theirs)


def test_layers_are_written_differently_where_it_is_off():
    def written():
        layer = Conv(6, (5, 5))
        return str(jax.make_jaxpr(lambda x: layer.init_with_output(jax.random.key(0), x))(jnp.ones((2, 9, 9, 1))))

    assert "custom_vjp" in written()
    with quick.off():
        assert "custom_vjp" not in written()


def test_it_is_off_elsewhere_than_on_a_cpu(monkeypatch):
    assert quick.is_on()
    with quick.off():
        assert not quick.is_on()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not quick.is_on()
    assert not jax.make_jaxpr(materialized)(1.0).eqns


def test_the_width_of_vectors_is_what_numpy_finds_too():
    features = pytest.importorskip("numpy._core._multiarray_umath").__cpu_features__
    if "AVX512F" not in features or not quick.CPUINFO.exists():
        pytest.skip("NumPy or Linux does not say it here")
    assert quick.has_wide_vectors() == features["AVX512F"]


@pytest.mark.parametrize(
    ("flags", "is_wide"), [("sse4_2 avx2 avx512f avx512cd", True), ("sse4_2 avx2 fma", False), (None, False)]
)
def test_wide_vectors_are_read_from_what_linux_says(flags, is_wide, tmp_path, monkeypatch):
    if flags:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\n")
    monkeypatch.setattr(quick, "CPUINFO", tmp_path / "cpuinfo")
    assert quick.has_wide_vectors.__wrapped__() is is_wide


def test_what_is_materialized_is_computed_once_in_a_compiled_program():
    def function(x):
        y = materialized(jnp.sin(x) * 2 + 1)
        return y[::2] * 3, y.T

    def barriers(**options):
        return jax.jit(function, **options).lower(jnp.ones((8, 8))).compile().as_text().count(" opt-barrier(")

    assert barriers(compiler_options=compile_options("cpu")) == 1
    assert barriers() == 0  # why a program needs the options


def test_an_accelerator_is_told_nothing_but_what_a_user_asks():
    assert compile_options("gpu") == compile_options("tpu") == {}
    assert set(compile_options("gpu", deterministic=True)) == {
        "xla_gpu_deterministic_ops",
        "xla_gpu_exclude_nondeterministic_ops",
    }
