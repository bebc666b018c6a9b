import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

from canon import optimizers
from canon.errors import UserError

STEPS = 50


def gradients(random):
    """Those of a quadratic bowl, with noise, so that they depend on where the parameters are."""
    curvature, noise = random.uniform(0.1, 2, 6), random.normal(size=(STEPS, 6))
    return lambda w, step: curvature * w + noise[step]


def ours(start, gradient, schedule, **kwargs):
    with jax.enable_x64(True):
        optimizer = optimizers.create("momentum", learning_rate=schedule, **kwargs)
        w = jnp.asarray(start)
        state = optimizer.init(w)
        for step in range(STEPS):
            updates, state = optimizer.update(jnp.asarray(gradient(np.asarray(w), step)), state, w)
            w = optax.apply_updates(w, updates)
        return np.asarray(w)


def rate(step):
    return 0.1 if step < 25 else 0.01


def schedule(step):
    return jnp.where(step < 25, 0.1, 0.01)


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_momentum_equals_the_rule_written_out_in_numpy(random, nesterov, weight_decay, clip_norm):
    start, gradient = random.normal(size=6), gradients(random)
    w, v = start.copy(), np.zeros(6)
    for step in range(STEPS):
        g = gradient(w, step)
        if clip_norm is not None and np.linalg.norm(g) > clip_norm:
            g = g * clip_norm / np.linalg.norm(g)
        g = g + weight_decay * w
        v = 0.9 * v + g
        w = w - rate(step) * (g + 0.9 * v if nesterov else v)
    result = ours(start, gradient, schedule, nesterov=nesterov, weight_decay=weight_decay, clip_norm=clip_norm)
    np.testing.assert_allclose(result, w, rtol=1e-10)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_equals_pytorchs_sgd(random, nesterov):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    start, gradient = random.normal(size=6), gradients(random)
    w = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate(step)
        w.grad = torch.tensor(gradient(w.detach().numpy(), step))
        optimizer.step()
    result = ours(start, gradient, schedule, nesterov=nesterov, weight_decay=0.01)
    np.testing.assert_allclose(result, w.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize(
    "wrong", [{"momentum": 1.0}, {"momentum": -0.1}, {"weight_decay": -1.0}, {"clip_norm": 0.0}, {"clip_norm": -1.0}]
)
def test_a_value_outside_its_range_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        optimizers.create("momentum", learning_rate=0.1, **wrong)
