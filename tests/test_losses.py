"""Every loss against SciPy or PyTorch in float64, and every gradient against its formula written out in NumPy."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp
from scipy.special import expit, log_softmax, softmax

from canon import losses
from canon.errors import UserError

NO_TORCH = "PyTorch, the oracle, is not installed"
CLASSIFICATION = sorted(losses.LOSSES)
SMOOTHED = [name for name in CLASSIFICATION if name != "squared_error"]


def value_and_gradient(name, outputs, labels, **kwargs):
    """The losses `[batch]`, and the gradient of their sum with respect to the outputs, in float64."""
    with jax.enable_x64(True):
        loss, pull = jax.vjp(lambda z: losses.LOSSES[name](z, jnp.asarray(labels), **kwargs), jnp.asarray(outputs))
        return np.asarray(loss), np.asarray(pull(jnp.ones_like(loss))[0])


@st.composite
def batches(draw):
    """Outputs of five examples, integer labels, and soft ones."""
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    classes = draw(st.integers(2, 5))
    outputs = draw(st.sampled_from([0.1, 1.0, 30.0])) * random.normal(size=(5, classes))
    return outputs, random.integers(0, classes, 5), random.dirichlet(np.ones(classes), 5)


def smoothed(labels, classes, alpha):
    targets = np.eye(classes)[labels] if labels.dtype.kind == "i" else labels
    return (1 - alpha) * targets + alpha / classes


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * max(1, np.abs(expected).max()))


@given(batches(), st.sampled_from([0.0, 0.1]))
@settings(max_examples=25)
def test_cross_entropy_is_that_of_scipys_log_softmax_and_its_gradient_is_y_minus_t(batch, alpha):
    outputs, *kinds = batch
    for labels in kinds:
        t = smoothed(labels, outputs.shape[1], alpha)
        loss, gradient = value_and_gradient("softmax_cross_entropy", outputs, labels, label_smoothing=alpha)
        assert_close(loss, -(t * log_softmax(outputs, axis=1)).sum(axis=1))
        assert_close(gradient, softmax(outputs, axis=1) - t)


@given(batches(), st.sampled_from([0.0, 0.1]))
@settings(max_examples=25)
def test_squared_error_on_a_softmax_has_the_gradient_that_the_chain_rule_gives(batch, alpha):
    outputs, *kinds = batch
    y = softmax(outputs, axis=1)
    for labels in kinds:
        t = smoothed(labels, outputs.shape[1], alpha)
        loss, gradient = value_and_gradient("softmax_squared_error", outputs, labels, label_smoothing=alpha)
        assert_close(loss, np.square(y - t).mean(axis=1))
        inner = (y * (y - t)).sum(axis=1, keepdims=True)
        assert_close(gradient, 2 / y.shape[1] * y * (y - t - inner))


def test_squared_error_on_a_softmax_hardly_learns_where_it_is_confidently_wrong_and_cross_entropy_does():
    outputs, labels = np.array([[20.0, 0.0, 0.0]]), np.array([1])
    assert np.abs(value_and_gradient("softmax_squared_error", outputs, labels)[1]).max() < 1e-8
    assert np.abs(value_and_gradient("softmax_cross_entropy", outputs, labels)[1]).max() > 0.99
    assert np.abs(value_and_gradient("multiclass_hinge", outputs, labels)[1]).max() == 2


@given(batches(), st.sampled_from([0.5, 1.0]))
@settings(max_examples=25)
def test_hinge_counts_every_class_that_comes_within_the_margin(batch, margin):
    outputs, hard, soft = batch
    classes = outputs.shape[1]
    for labels in (hard, soft):
        loss, gradient = np.zeros(5), np.zeros(outputs.shape)
        for i, s in enumerate(outputs):
            weights = np.eye(classes)[labels[i]] if labels is hard else labels[i]
            for y, weight in enumerate(weights):
                for j in range(classes):
                    if j != y and margin + s[j] - s[y] > 0:
                        loss[i] += weight * (margin + s[j] - s[y])
                        gradient[i, j] += weight
                        gradient[i, y] -= weight
        found = value_and_gradient("multiclass_hinge", outputs, labels, margin=margin)
        assert_close(found[0], loss)
        assert_close(found[1], gradient)


@given(batches(), st.sampled_from([0.0, 0.1]))
@settings(max_examples=25)
def test_binary_cross_entropy_has_the_gradient_sigma_minus_t_for_each_output(batch, alpha):
    outputs, *kinds = batch
    for labels in kinds:
        t = (1 - alpha) * smoothed(labels, outputs.shape[1], 0.0) + alpha / 2
        loss, gradient = value_and_gradient("binary_cross_entropy", outputs, labels, label_smoothing=alpha)
        assert_close(loss, (np.logaddexp(0, outputs) - t * outputs).sum(axis=1))
        assert_close(gradient, expit(outputs) - t)


@given(batches())
@settings(max_examples=25)
def test_squared_error_is_that_of_regression(batch):
    outputs, *kinds = batch
    for labels in (*kinds, 3 * outputs**2):  # any numbers are targets
        t = smoothed(labels, outputs.shape[1], 0.0)
        loss, gradient = value_and_gradient("squared_error", outputs, labels)
        assert_close(loss, np.square(outputs - t).mean(axis=1))
        assert_close(gradient, 2 / outputs.shape[1] * (outputs - t))


@given(batches())
@settings(max_examples=25)
def test_every_loss_and_its_gradient_equal_pytorchs(batch):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    from torch.nn import functional

    outputs, hard, soft = batch
    classes = outputs.shape[1]
    one_hot, hard_there, soft_there = torch.tensor(np.eye(classes)[hard]), torch.tensor(hard), torch.tensor(soft)
    per_example = {"reduction": "none"}
    cases = {
        ("softmax_cross_entropy", "hard", 0.0): lambda z: functional.cross_entropy(z, hard_there, **per_example),
        ("softmax_cross_entropy", "soft", 0.0): lambda z: functional.cross_entropy(z, soft_there, **per_example),
        ("softmax_cross_entropy", "hard", 0.2): lambda z: functional.cross_entropy(
            z, hard_there, label_smoothing=0.2, **per_example
        ),
        ("softmax_squared_error", "soft", None): lambda z: functional.mse_loss(
            z.softmax(1), soft_there, **per_example
        ).mean(1),
        # PyTorch divides by the number of classes.
        ("multiclass_hinge", "hard", None): lambda z: (
            classes * functional.multi_margin_loss(z, hard_there, **per_example)
        ),
        ("binary_cross_entropy", "hard", None): lambda z: functional.binary_cross_entropy_with_logits(
            z, one_hot, **per_example
        ).sum(1),
        ("squared_error", "soft", None): lambda z: functional.mse_loss(z, soft_there, **per_example).mean(1),
    }
    for (name, kind, alpha), theirs in cases.items():
        kwargs = {} if alpha is None else {"label_smoothing": alpha}
        loss, gradient = value_and_gradient(name, outputs, hard if kind == "hard" else soft, **kwargs)
        z = torch.tensor(outputs, requires_grad=True)
        expected = theirs(z)
        expected.sum().backward()
        assert_close(loss, expected.detach().numpy())
        assert_close(gradient, z.grad.numpy())


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_soft_labels_that_are_certain_give_what_integers_give(name, random):
    outputs, labels = random.normal(size=(6, 4)), random.integers(0, 4, 6)
    for found, expected in zip(
        value_and_gradient(name, outputs, np.eye(4)[labels]), value_and_gradient(name, outputs, labels), strict=True
    ):
        assert_close(found, expected)


@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("outputs", [[0.0, 0.0, 0.0], [1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [1.0, 2.0, 2.0]])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_ties_and_probabilities_of_zero_give_finite_numbers(name, soft, outputs, dtype):
    labels = jnp.array([[1.0, 0.0, 0.0]], dtype) if soft else jnp.array([0])
    loss, gradient = jax.value_and_grad(lambda z: losses.LOSSES[name](z, labels).sum())(jnp.array([outputs], dtype))
    assert np.isfinite(float(loss))
    assert np.isfinite(np.asarray(gradient, np.float32)).all()


def test_a_class_that_is_ruled_out_by_an_infinite_logit_costs_nothing_where_its_label_is_zero():
    labels = jnp.array([[0.5, 0.5, 0.0]])
    loss, gradient = jax.value_and_grad(lambda z: losses.softmax_cross_entropy(z, labels).sum())(
        jnp.array([[1.0, 1.0, -jnp.inf]])
    )
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_a_loss_is_per_example_whatever_stands_before_the_classes(name, random):
    outputs, labels = (
        jnp.asarray(random.normal(size=(2, 3, 4)), jnp.float32),
        jnp.asarray(random.integers(0, 4, (2, 3))),
    )
    labels = labels.astype(jnp.int32)
    loss = losses.LOSSES[name](outputs, labels)
    assert loss.shape == (2, 3)
    flat = losses.LOSSES[name](outputs.reshape(6, 4), labels.reshape(6))
    np.testing.assert_allclose(loss.reshape(6), flat, rtol=1e-6)


@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.parametrize("shape", [(4,), (3, 2), (3, 1)])
def test_labels_that_do_not_fit_the_outputs_are_refused(name, shape):
    with pytest.raises(UserError, match=rf"loss {name}: for outputs of shape \(3, 4\) .*labels have the shape"):
        losses.LOSSES[name](jnp.zeros((3, 4)), jnp.zeros(shape, jnp.float32 if len(shape) == 2 else jnp.int32))


@pytest.mark.parametrize("name", SMOOTHED)
@pytest.mark.parametrize("alpha", [-0.1, 1.0, float("nan")])
def test_a_smoothing_that_leaves_nothing_of_the_labels_is_refused(name, alpha):
    with pytest.raises(UserError, match=f"loss {name}: label_smoothing must be at least 0 and below 1, not {alpha}"):
        losses.create(name, num_classes=3, label_smoothing=alpha)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("multiclass_hinge", {"margin": 0.0}, "loss multiclass_hinge: margin must be above 0, not 0"),
        ("multiclass_hinge", {"num_classes": 1}, "multiclass_hinge needs two classes or more"),
        ("squared_error", {"margin": 1.0}, "loss squared_error has no argument 'margin'"),
        ("cross_entropy", {}, "no loss is called 'cross_entropy'.*softmax_cross_entropy"),
    ],
)
def test_a_loss_is_checked_as_it_is_made(name, kwargs, message):
    with pytest.raises(UserError, match=message):
        losses.create(name, **{"num_classes": 3} | kwargs)


def test_a_loss_that_was_made_is_the_function_with_its_arguments(random):
    outputs, labels = jnp.asarray(random.normal(size=(3, 4)), jnp.float32), jnp.array([0, 1, 3])
    made = losses.create("multiclass_hinge", num_classes=4, margin=0.5)
    np.testing.assert_array_equal(made(outputs, labels), losses.multiclass_hinge(outputs, labels, margin=0.5))
