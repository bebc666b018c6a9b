"""What a network does in training alone: drop units, and compute again what it did not keep."""

from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon import models


def test_the_papers_share_of_units_is_dropped_by_default():
    rates = {name: models.arguments(name)["dropout_rate"] for name in models.names("image")}
    assert {name: rate for name, rate in rates.items() if rate} == {
        **dict.fromkeys(["alexnet", "alexnet_one_column", "zfnet", "vgg11", "vgg13", "vgg16", "vgg19"], 0.5),
        "googlenet": 0.4,
    }
    assert models.arguments("googlenet")["auxiliary_dropout_rate"] == 0.7


# A network, its image, and each dropout with the layer before it.
DROPOUTS = [
    ("mlp", (5, 5, 1), {"dropout1": "relu1", "dropout2": "relu2"}),
    ("lenet5", (32, 32, 1), {"dropout": "tanh6"}),
    ("lenet5_modern", (12, 12, 1), {"dropout": "relu4"}),
    ("alexnet", (67, 67, 3), {"dropout6": "relu6", "dropout7": "relu7"}),
    ("alexnet_fig1", (8, 8, 3), {"dropout": "pool3"}),
    ("zfnet", (53, 53, 3), {"dropout6": "relu6", "dropout7": "relu7"}),
    ("vgg11", (32, 32, 3), {"dropout6": "relu6", "dropout7": "relu7"}),
    ("cifar_resnet", (8, 8, 3), {"dropout": "pool"}),
    ("resnet18", (8, 8, 3), {"dropout": "pool2"}),
    ("googlenet", (79, 79, 3), {"dropout": "pool5"} | {f"auxiliary{i}/dropout": f"auxiliary{i}/relu" for i in (1, 2)}),
]


@pytest.mark.parametrize(("name", "shape", "places"), DROPOUTS)
def test_dropout_drops_its_share_and_enlarges_the_rest_in_training_alone(name, shape, places, random, draw):
    rates = {rate: 0.25 for rate in models.arguments(name) if rate.endswith("dropout_rate")}
    model = models.create(name, **rates, num_classes=4)
    images = jnp.asarray(random.normal(size=(8, *shape)), jnp.float32)
    variables = draw(lambda key: model.init(key, images))

    @jax.jit
    def run(variables):
        passes = (
            models.intermediates(model, variables, images, train=t, rngs={"dropout": jax.random.key(1)})
            for t in (True, False)
        )
        return [
            {layer: layers[layer] for layer in (*places, *places.values()) if layer in layers} for _, layers in passes
        ]

    training, prediction = jax.tree.map(np.asarray, run(variables))
    for dropout, before in places.items():
        after = training[dropout]
        units = training[before].reshape(after.shape)
        np.testing.assert_allclose(after[after != 0], units[after != 0] / 0.75, rtol=1e-6)
        dropped = (after == 0)[units != 0]
        assert abs(dropped.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / dropped.size)
        assert ((after == 0).any(axis=0) & (after != 0).any(axis=0)).any()  # each image loses units of its own
        if dropout in prediction:
            np.testing.assert_array_equal(prediction[dropout], prediction[before].reshape(after.shape))


REMAT = [
    ("cifar_resnet", {"depth": 8}, (8, 8, 3)),
    ("resnet18", {"stage_sizes": (2, 1)}, (16, 16, 3)),
    ("se_resnet50", {"stage_sizes": (1,)}, (16, 16, 3)),
    ("vgg11", {"stage_sizes": (2, 1), "batch_norm": True}, (8, 8, 3)),
    pytest.param("googlenet", {"auxiliary": False}, (32, 32, 3), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "fields", "shape"), REMAT)
def test_recomputing_blocks_changes_neither_parameters_nor_logits_nor_gradients(name, fields, shape, random, draw):
    fields = fields | {"num_classes": 4, "dropout_rate": 0.0}
    kept, again = (models.create(name, remat=remat).clone(**fields) for remat in (False, True))
    images = jnp.asarray(random.normal(size=(4, *shape)), jnp.float32)
    variables = draw(lambda key: kept.init(key, images))
    shapes = jax.eval_shape(again.init, jax.random.key(0), images)
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)

    def objective(model, params):
        state = {name: value for name, value in variables.items() if name != "params"}
        predicted = model.apply({"params": params, **state}, images)
        logits, state = model.apply({"params": params, **state}, images, train=True, mutable=["batch_stats"])
        return (logits**2).sum(), (predicted, logits, state)

    def traced(model):
        return jax.jit(jax.value_and_grad(partial(objective, model), has_aux=True)).trace(variables["params"])

    def convolutions(model):
        return str(traced(model).jaxpr).count("conv_general_dilated")

    assert convolutions(again) > convolutions(kept)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * abs(a).max()),
        *(traced(model).lower().compile()(variables["params"]) for model in (kept, again)),
    )
