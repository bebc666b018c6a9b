import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon.errors import UserError
from canon.layers import quick
from canon.layers.normalization import BatchNorm, LocalResponseNorm

SIZES = [1, 3, 5, 9, 11]  # odd, and both smaller and larger than the 6 channels


@pytest.mark.parametrize("size", SIZES)
def test_response_norm_equals_pytorch_whose_alpha_is_divided_by_the_size(size, torch, assert_equals_torch, random):
    alpha, beta, k = 0.3, 0.6, 1.5
    assert_equals_torch(
        lambda x: LocalResponseNorm(size, alpha, beta, k).apply({}, x),
        lambda x: torch.nn.functional.local_response_norm(
            x.movedim(-1, 1), size, alpha=alpha * size, beta=beta, k=k
        ).movedim(1, -1),
        random.normal(size=(2, 3, 2, 6)),
    )


@pytest.mark.parametrize("size", SIZES)
def test_response_norm_equals_the_papers_formula_which_does_not_divide_the_sum(size, random):
    alpha, beta, k = 0.3, 0.6, 1.5
    a = random.normal(size=(3, 6))
    b = np.empty_like(a)
    for i in range(6):
        total = 0
        for j in range(max(0, i - size // 2), min(5, i + size // 2) + 1):
            total = total + a[:, j] ** 2
        b[:, i] = a[:, i] / (k + alpha * total) ** beta
    with jax.enable_x64(True):
        np.testing.assert_allclose(LocalResponseNorm(size, alpha, beta, k).apply({}, jnp.asarray(a)), b, rtol=1e-12)


def test_response_norm_has_the_papers_constants():
    norm = LocalResponseNorm()
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 2)  # Krizhevsky et al. 2012, section 3.3


def batch_norm_variables(random, channels):
    return (
        {"scale": random.normal(size=channels), "bias": random.normal(size=channels)},
        {"mean": random.normal(size=channels), "var": random.uniform(0.5, 2, size=channels)},
    )


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("size", [(), (5,), (3, 4)], ids=len)
def test_batch_norm_equals_pytorch_in_training_and_evaluation(train, size, torch, assert_equals_torch, random):
    params, statistics = batch_norm_variables(random, 3)

    def ours(x, params):
        variables = {"params": params, "batch_stats": jax.tree.map(jnp.asarray, statistics)}
        return BatchNorm().apply(variables, x, use_running_average=not train, mutable=["batch_stats"])[0]

    def theirs(x, params):
        mean, var = torch.tensor(statistics["mean"]), torch.tensor(statistics["var"])
        # The constants of the residual nets are PyTorch's defaults.
        norm = torch.nn.functional.batch_norm(x.movedim(-1, 1), mean, var, params["scale"], params["bias"], train)
        return norm.movedim(1, -1)

    with jax.numpy_dtype_promotion("standard"):  # Flax mixes in a float32
        assert_equals_torch(ours, theirs, random.normal(size=(4, *size, 3)), params)


def test_running_statistics_move_as_pytorchs_but_for_the_variance_which_flax_keeps_biased(torch, random):
    x = random.normal(2, 3, size=(4, 2, 3, 5))
    params, statistics = batch_norm_variables(random, 5)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # Flax mixes in a float32
        variables = jax.tree.map(jnp.asarray, {"params": params, "batch_stats": statistics})
        updated = BatchNorm().apply(variables, jnp.asarray(x), use_running_average=False, mutable=["batch_stats"])[1][
            "batch_stats"
        ]
    mean, var = torch.tensor(statistics["mean"]), torch.tensor(statistics["var"])
    # Flax's momentum is the share that stays, PyTorch's the share that comes.
    torch.nn.functional.batch_norm(torch.tensor(x).movedim(-1, 1), mean, var, training=True, momentum=1 - 0.9)
    np.testing.assert_allclose(updated["mean"], mean, rtol=1e-12)
    ours, theirs = (np.asarray(v) - 0.9 * statistics["var"] for v in (updated["var"], var))
    n = x.size // 5
    np.testing.assert_allclose(ours * n / (n - 1), theirs, rtol=1e-9)


def test_batch_norm_computes_bfloat16_in_float32_with_float32_statistics(random):
    x = jnp.asarray(random.normal(5, 1, size=(64, 4)), jnp.bfloat16)
    norm = BatchNorm(use_running_average=False)
    y, variables = norm.init_with_output(jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    wide, updated = norm.apply(variables, x.astype(jnp.float32), mutable=["batch_stats"])
    _, narrow = norm.apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))
    jax.tree.map(np.testing.assert_array_equal, narrow, updated)


def test_statistics_keep_their_dtype_whatever_the_input_has(random):
    layer = BatchNorm(use_running_average=False)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        x = jnp.asarray(random.normal(size=(4, 3)))
        variables = layer.init(jax.random.key(0), x)
        _, updates = layer.apply(variables, x, mutable=["batch_stats"])
    assert {leaf.dtype.name for leaf in jax.tree.leaves(updates)} == {"float32"}


def test_a_response_normalisation_over_an_even_number_of_channels_is_refused():
    with pytest.raises(UserError, match="must be odd, not 4"):
        LocalResponseNorm(size=4).apply({}, jnp.ones((1, 8)))


@pytest.mark.parametrize("use_running_average", [True, False])
def test_whether_it_trains_may_be_said_when_it_is_made_on_any_backend(use_running_average, random):
    x = random.normal(size=(8, 3)).astype(np.float32)
    norm = BatchNorm(use_running_average=use_running_average)
    variables = norm.init(jax.random.key(0), x)
    ours = norm.apply(variables, x, mutable=["batch_stats"])
    with quick.off():
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            ours,
            norm.apply(variables, x, mutable=["batch_stats"]),
        )


def test_a_variance_that_is_not_to_be_the_fast_one_is_not(random):
    x = 3000 + random.normal(size=(64, 2)).astype(np.float32)
    norm = BatchNorm(use_running_average=False, use_fast_variance=False)
    y, _ = norm.apply(norm.init(jax.random.key(0), x), x, mutable=["batch_stats"])
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-2)
