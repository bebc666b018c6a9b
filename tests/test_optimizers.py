"""Every optimizer against its paper's rule, written out in NumPy, and against PyTorch's, for 50 steps in float64."""

import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

from canon import optimizers, schedules
from canon.errors import UserError

STEPS = 50
NO_TORCH = "PyTorch, the oracle, is not installed"


def gradients(random):
    """Those of a quadratic bowl, with noise, so that they depend on where the parameters are."""
    curvature, noise = random.uniform(0.1, 2, (3, 2)), random.normal(size=(STEPS, 3, 2))
    return lambda w, step: curvature * w + noise[step]


def ours(name, start, gradient, schedule, **kwargs):
    """The parameters after 50 steps of the optimizer `name`."""
    with jax.enable_x64(True):
        optimizer = optimizers.create(name, learning_rate=schedule, **kwargs)
        w = jnp.asarray(start)
        state = optimizer.init(w)
        update = jax.jit(optimizer.update)
        for step in range(STEPS):
            updates, state = update(jnp.asarray(gradient(np.asarray(w), step)), state, w, value=jnp.zeros(()))
            w = optax.apply_updates(w, updates)
        return np.asarray(w)


def rate(step):
    """It falls in the middle, where forms of momentum differ."""
    return 0.1 if step < 25 else 0.01


def schedule(step):
    return jnp.where(step < 25, 0.1, 0.01)


# The rules as the papers have them: from parameters w, gradient g, learning rate lr and a dict of what is kept, to w.


def momentum(w, g, lr, kept):
    kept["v"] = 0.9 * kept.get("v", 0) + g
    return w - lr * kept["v"]


def nesterov(w, g, lr, kept):
    kept["v"] = 0.9 * kept.get("v", 0) + g
    return w - lr * (g + 0.9 * kept["v"])


def momentum_rate_inside(w, g, lr, kept):
    kept["v"] = 0.9 * kept.get("v", 0) - lr * g
    return w + kept["v"]


def plain(w, g, lr, kept):
    return w - lr * g


def adadelta(w, g, lr, kept):
    kept["g²"] = 0.95 * kept.get("g²", 0) + 0.05 * g**2
    step = -np.sqrt(kept.get("Δ²", 0) + 1e-6) / np.sqrt(kept["g²"] + 1e-6) * g
    kept["Δ²"] = 0.95 * kept.get("Δ²", 0) + 0.05 * step**2
    return w + lr * step


def rmsprop(w, g, lr, kept):
    kept["n"] = 0.9 * kept.get("n", 0) + 0.1 * g**2
    return w - lr * g / (np.sqrt(kept["n"]) + 1e-8)


def rmsprop_graves(w, g, lr, kept):
    kept["n"] = 0.95 * kept.get("n", 0) + 0.05 * g**2
    kept["m"] = 0.95 * kept.get("m", 0) + 0.05 * g
    kept["Δ"] = 0.9 * kept.get("Δ", 0) - lr * g / np.sqrt(kept["n"] - kept["m"] ** 2 + 1e-4)
    return w + kept["Δ"]


def adam(w, g, lr, kept):
    kept["t"] = kept.get("t", 0) + 1
    kept["m"] = 0.9 * kept.get("m", 0) + 0.1 * g
    kept["v"] = 0.999 * kept.get("v", 0) + 0.001 * g**2
    first, second = kept["m"] / (1 - 0.9 ** kept["t"]), kept["v"] / (1 - 0.999 ** kept["t"])
    return w - lr * first / (np.sqrt(second) + 1e-8)


RULES = [
    ("momentum", {}, momentum),
    ("momentum", {"nesterov": True}, nesterov),
    ("momentum", {"momentum": 0.0}, plain),
    ("momentum_rate_inside", {}, momentum_rate_inside),
    ("momentum_rate_inside", {"momentum": 0.0}, plain),
    ("adadelta", {}, adadelta),
    ("rmsprop", {}, rmsprop),
    ("rmsprop_graves", {}, rmsprop_graves),
    ("adam", {}, adam),
]
AROUND = {
    "alone": {},
    "decay": {"weight_decay": 0.01},
    "clip_norm": {"clip_norm": 0.5, "weight_decay": 0.01},
    "clip_value": {"clip_value": 0.3, "weight_decay": 0.01},
    "max_norm": {"max_norm": 0.7},
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(("name", "kwargs", "rule"), RULES, ids=lambda v: v.__name__ if callable(v) else None)
def test_every_optimizer_is_its_papers_rule_written_out_in_numpy(name, kwargs, rule, around, random):
    around = AROUND[around]
    start, gradient = random.normal(size=(3, 2)), gradients(random)
    w, kept = start.copy(), {}
    for step in range(STEPS):
        g = gradient(w, step)
        if "clip_norm" in around and np.linalg.norm(g) > around["clip_norm"]:
            g = g * around["clip_norm"] / np.linalg.norm(g)
        if "clip_value" in around:
            g = np.clip(g, -around["clip_value"], around["clip_value"])
        w = rule(w, g + around.get("weight_decay", 0) * w, rate(step), kept)
        if "max_norm" in around:
            norms = np.linalg.norm(w, axis=0)
            w = w * np.where(norms > around["max_norm"], around["max_norm"] / norms, 1)
    np.testing.assert_allclose(ours(name, start, gradient, schedule, **kwargs, **around), w, rtol=1e-10)


TORCH = [
    ("momentum", {}, lambda torch: (torch.optim.SGD, {"momentum": 0.9})),
    ("momentum", {"nesterov": True}, lambda torch: (torch.optim.SGD, {"momentum": 0.9, "nesterov": True})),
    ("adadelta", {}, lambda torch: (torch.optim.Adadelta, {"rho": 0.95, "eps": 1e-6})),
    ("rmsprop", {}, lambda torch: (torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-8})),
    ("adam", {}, lambda torch: (torch.optim.Adam, {})),
]


@pytest.mark.parametrize(("name", "kwargs", "theirs"), TORCH)
def test_every_optimizer_that_pytorch_has_is_pytorchs(name, kwargs, theirs, random):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    kind, arguments = theirs(torch)
    start, gradient = random.normal(size=(3, 2)), gradients(random)
    w = torch.tensor(start, requires_grad=True)
    optimizer = kind([w], lr=0.1, weight_decay=0.01, **arguments)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate(step)
        w.grad = torch.tensor(gradient(w.detach().numpy(), step))
        torch.nn.utils.clip_grad_value_([w], 0.8)
        optimizer.step()
    result = ours(name, start, gradient, schedule, weight_decay=0.01, clip_value=0.8, **kwargs)
    np.testing.assert_allclose(result, w.detach().numpy(), rtol=1e-10)


def test_the_two_forms_of_momentum_are_one_until_the_rate_changes(random):
    start, gradient = random.normal(size=(3, 2)), gradients(random)

    def both(schedule):
        return [ours(name, start, gradient, schedule) for name in ("momentum", "momentum_rate_inside")]

    np.testing.assert_allclose(*both(0.1), rtol=1e-10)
    outside, inside = both(schedule)
    assert np.abs(outside - inside).max() > 1e-3


def test_what_the_velocity_has_gathered_counts_on_at_the_old_rate_where_the_rate_is_inside():
    # One push of 1 at rate 0.1, and then none, at rate 0.
    def push(w, step):
        return np.ones_like(w) if step == 0 else np.zeros_like(w)

    def rate(step):
        return jnp.where(step == 0, 0.1, 0.0)

    outside, inside = (ours(name, np.zeros(1), push, rate) for name in ("momentum", "momentum_rate_inside"))
    np.testing.assert_allclose(outside, -0.1)
    np.testing.assert_allclose(inside, -0.1 * (1 - 0.9**STEPS) / (1 - 0.9))


def test_nesterov_is_sutskevers_rule_seen_from_where_the_gradient_is_taken(random):
    start, gradient = random.normal(size=(3, 2)), gradients(random)
    theta, v = start.copy(), np.zeros_like(start)  # Sutskever et al. 2013, equations 3 and 4
    for step in range(STEPS):
        v, theta = (new := 0.9 * v - 0.1 * gradient(theta + 0.9 * v, step)), theta + new
    for name in ("momentum", "momentum_rate_inside"):
        np.testing.assert_allclose(ours(name, start, gradient, 0.1, nesterov=True), theta + 0.9 * v, rtol=1e-10)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_biases_and_norms_do_not_decay_when_asked(name, random):
    params = {"dense": {"kernel": np.ones((2, 3)), "bias": np.ones(3)}, "norm": {"scale": np.ones(3)}}
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params)
    zero = jax.tree.map(jnp.zeros_like, params)
    for decay, moves in (("all", True), ("kernels", False)):
        optimizer = optimizers.create(name, learning_rate=0.1, weight_decay=0.1, decay=decay)
        updates, _ = optimizer.update(zero, optimizer.init(params), params, value=jnp.zeros(()))
        assert (updates["dense"]["kernel"] != 0).all()
        assert (updates["dense"]["bias"] != 0).all() == moves
        assert (updates["norm"]["scale"] != 0).all() == moves


def test_max_norm_binds_each_filter_of_a_convolution_and_leaves_biases_and_smaller_ones(random):
    params = {"kernel": jnp.asarray(random.normal(size=(3, 3, 2, 4)), jnp.float32), "bias": jnp.full(4, 9.0)}
    params["kernel"] = params["kernel"].at[..., 0].multiply(0.01).at[..., 1].set(0.0)
    optimizer = optimizers.create("momentum", learning_rate=0.1, max_norm=2.0)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zero, optimizer.init(params), params, value=jnp.zeros(()))
    after = optax.apply_updates(params, updates)
    norms = np.sqrt(np.square(after["kernel"]).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(norms[2:], 2.0, rtol=1e-6)
    np.testing.assert_array_equal(after["kernel"][..., :2], params["kernel"][..., :2])
    np.testing.assert_array_equal(after["bias"], params["bias"])


def test_a_zero_gradient_stays_finite_under_every_clip():
    for clip in ({"clip_norm": 1e-3}, {"clip_value": 1e-3}):
        result = ours("momentum", np.ones((3, 2)), lambda w, step: np.zeros_like(w), 0.1, **clip)
        np.testing.assert_array_equal(result, 1)


@pytest.mark.parametrize("name", ["momentum", "momentum_rate_inside", "adam"])
def test_the_plateau_schedule_is_a_rate_that_falls_with_the_loss(name, random):
    start, gradient = random.normal(size=(3, 2)), gradients(random)
    losses = np.maximum(2 - 0.1 * np.arange(STEPS), 1)  # new until step 10
    plateau = schedules.create("plateau", steps=STEPS, learning_rate=0.1, factor=0.5, patience=2, window=4)
    # Means over 4: those of steps 0–3, 4–7 and 8–11 are new, the next one is 1 and new, the two after are not.
    falls = [24, 32, 40, 48]

    def by_hand(step):
        return 0.1 * 0.5 ** sum(step + 1 >= fall for fall in falls)

    with jax.enable_x64(True):
        optimizer = optimizers.create(name, learning_rate=plateau)
        w = jnp.asarray(start)
        state, rates = optimizer.init(w), []
        for step in range(STEPS):
            updates, state = optimizer.update(
                jnp.asarray(gradient(np.asarray(w), step)), state, w, value=jnp.asarray(losses[step])
            )
            w = optax.apply_updates(w, updates)
            rates.append(float(schedules.rate(plateau, jnp.asarray(step), state)))
    np.testing.assert_allclose(rates, [by_hand(step) for step in range(STEPS)], rtol=1e-12)
    table = jnp.asarray(rates, jnp.float32)
    with jax.enable_x64(True):
        table = jnp.asarray(rates)
        np.testing.assert_allclose(w, ours(name, start, gradient, lambda step: table[step]), rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("momentum", {"momentum": value}) for value in (1.0, -0.1, float("nan"))),
        *(("momentum", {"weight_decay": value}) for value in (-1.0, float("nan"))),
        *(("momentum", {limit: v}) for limit in ("clip_norm", "clip_value", "max_norm") for v in (0.0, -1.0)),
        ("momentum", {"decay": "biases"}),
        ("momentum_rate_inside", {"momentum": 1.5}),
        ("adadelta", {"rho": 1.0}),
        ("adadelta", {"epsilon": 0.0}),
        ("rmsprop", {"rho": -1.0}),
        ("rmsprop_graves", {"epsilon": -1.0}),
        ("adam", {"beta1": 1.0}),
        ("adam", {"beta2": 1.0}),
    ],
)
def test_a_value_outside_its_range_is_refused(name, wrong):
    with pytest.raises(UserError, match=f"optimizer {name}: {next(iter(wrong))} must be"):
        optimizers.create(name, learning_rate=0.1, **wrong)
