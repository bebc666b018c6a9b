import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon import models
from canon.errors import UserError


def abstract(**kwargs):
    model = models.create("cifar_resnet", **kwargs)
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def size(tree):
    return sum(np.prod(leaf.shape, dtype=int) for leaf in jax.tree.leaves(tree))


def papers_count(depth, shortcut):
    """The parameters by arithmetic: convolutions without biases, two for each batch norm, a biased linear layer."""
    n = (depth - 2) // 6
    total = 9 * 3 * 16 + 2 * 16
    channels = 16
    for features in (16, 32, 64):
        for _ in range(n):
            total += 9 * channels * features + 2 * features + 9 * features * features + 2 * features
            if shortcut == "C" or (shortcut == "B" and channels != features):
                total += channels * features + 2 * features
            channels = features
    return total + 64 * 10 + 10


@pytest.mark.parametrize(("depth", "count"), [(20, 269_722), (56, 853_018), (110, 1_727_962)])
@pytest.mark.parametrize("shortcut", ["A", "none"])
def test_has_the_papers_number_of_parameters(depth, count, shortcut):
    assert size(abstract(depth=depth, shortcut=shortcut)["params"]) == count


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize("depth", [20, 32, 44])
def test_parameters_follow_from_arithmetic_for_every_shortcut(depth, shortcut):
    assert size(abstract(depth=depth, shortcut=shortcut)["params"]) == papers_count(depth, shortcut)


@pytest.mark.parametrize("depth", [8, 20, 56, 110])
def test_depth_counts_the_weighted_layers(depth):
    kernels = [
        path
        for path, leaf in jax.tree_util.tree_leaves_with_path(abstract(depth=depth)["params"])
        if path[-1].key == "kernel"
    ]
    assert len(kernels) == depth


def test_stages_halve_the_size_and_double_the_features():
    model = models.create("cifar_resnet", depth=20)
    images = jnp.zeros((2, 32, 32, 3))

    def outputs(key):
        variables = model.init(key, images)
        return model.apply(variables, images, capture_intermediates=True)[1]["intermediates"]

    seen = jax.eval_shape(outputs, jax.random.key(0))
    assert seen["stage1_block3"]["__call__"][0].shape == (2, 32, 32, 16)
    assert seen["stage2_block1"]["__call__"][0].shape == (2, 16, 16, 32)
    assert seen["stage3_block3"]["__call__"][0].shape == (2, 8, 8, 64)
    assert seen["__call__"][0].shape == (2, 10)


@pytest.mark.parametrize("depth", [21, 2, 0, -4, 57])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth):
    with pytest.raises(UserError, match=r"6n\+2"):
        models.create("cifar_resnet", depth=depth)


def test_an_unknown_shortcut_is_refused():
    with pytest.raises(UserError, match="A .*B .*C .*none"):
        models.create("cifar_resnet", shortcut="D")


def torch_forward(torch, variables, images, depth, train):
    """The network by PyTorch's operations, on NCHW and with our parameters."""
    functional = torch.nn.functional

    def conv(x, p, stride=1):
        kernel = p["kernel"].permute(3, 2, 0, 1)
        return functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def norm(x, p, s):
        return functional.batch_norm(
            x, s["mean"].detach().clone(), s["var"].detach().clone(), p["scale"], p["bias"], training=train
        )

    params, statistics = variables["params"], variables["batch_stats"]
    x = functional.relu(norm(conv(images, params["conv"]), params["norm"], statistics["norm"]))
    for stage in (1, 2, 3):
        for i in range(1, (depth - 2) // 6 + 1):
            p, s = params[f"stage{stage}_block{i}"], statistics[f"stage{stage}_block{i}"]
            stride = 2 if stage > 1 and i == 1 else 1
            y = functional.relu(norm(conv(x, p["conv1"], stride), p["norm1"], s["norm1"]))
            y = norm(conv(y, p["conv2"]), p["norm2"], s["norm2"])
            if "projection" in p:
                x = norm(conv(x, p["projection"], stride), p["projection_norm"], s["projection_norm"])
            elif stride != 1:
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            x = functional.relu(x + y)
    return x.mean((2, 3)) @ params["classifier"]["kernel"] + params["classifier"]["bias"]


@pytest.mark.parametrize(("shortcut", "train"), [("A", False), ("A", True), ("B", False), ("B", True), ("C", True)])
def test_equals_pytorch_in_logits_and_gradients(shortcut, train, random, draw):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    depth = 8
    model = models.create("cifar_resnet", depth=depth, shortcut=shortcut)
    variables = draw(lambda key: model.init(key, jnp.zeros((1, 12, 12, 3))))
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # Flax mixes in a float32
        model = models.create("cifar_resnet", depth=depth, shortcut=shortcut, dtype="float64")
        images = jnp.asarray(random.normal(size=(4, 12, 12, 3)))
        # Statistics and scales as a trained network has them, not ones and zeros.
        variables = jax.tree.map(
            lambda a: jnp.asarray(np.asarray(a, np.float64) + random.uniform(0.05, 0.2, a.shape)), variables
        )

        def forward(params):
            logits = model.apply({**variables, "params": params}, images, train=train, mutable=["batch_stats"])[0]
            return (logits**2).sum(), logits

        (_, logits), gradient = jax.jit(jax.value_and_grad(forward, has_aux=True))(variables["params"])
        theirs = jax.tree.map(lambda a: torch.tensor(np.asarray(a), requires_grad=True), variables)
        expected = torch_forward(torch, theirs, torch.tensor(np.asarray(images)).permute(0, 3, 1, 2), depth, train)
        (expected**2).sum().backward()
        np.testing.assert_allclose(logits, expected.detach(), rtol=1e-8)
        jax.tree.map(
            lambda ours, p: np.testing.assert_allclose(ours, p.grad, rtol=1e-6, atol=1e-8),
            gradient,
            theirs["params"],
        )


def test_initial_weights_have_he_variance():
    model = models.create("cifar_resnet", depth=8)
    params = jax.jit(lambda key: model.init(key, jnp.zeros((1, 8, 8, 3)))["params"]["stage3_block1"])(jax.random.key(0))
    kernel = params["conv2"]["kernel"]
    # 36,864 draws: the standard deviation of their standard deviation is 0.4% of it.
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 64)), rtol=0.02)
    assert abs(kernel).max() > 3 * kernel.std()  # not truncated at two deviations
