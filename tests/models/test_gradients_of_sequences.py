"""Every network that takes no images to classes: each of its parameters gets a gradient, which is finite."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from canon import models

BATCH, TIME = 3, 5
LENGTHS = np.array([5, 2, 4], np.int32)
TOKENS = np.arange(BATCH * TIME, dtype=np.int32).reshape(BATCH, TIME) % 7
FEATURES = np.linspace(-1, 1, BATCH * TIME * 4, dtype=np.float32).reshape(BATCH, TIME, 4)
IMAGES = FEATURES.reshape(BATCH, TIME, 4, 1)

# Of each network what it is made with, and what it takes.
NETWORKS = {
    "autoencoder": ({"num_classes": 20, "code": 2, "hidden": (6,)}, (IMAGES,)),
    "char_rnn": ({"num_classes": 7, "features": 4}, (TOKENS, None)),
    "image_to_sequence": ({"num_classes": 7, "features": 4, "embedding": 3, "hidden": 5}, (IMAGES, TOKENS)),
    "peptide_classifier": ({"features": 4, "embedding": 3}, (TOKENS, LENGTHS)),
    "peptide_matrix": ({}, (TOKENS, LENGTHS)),
    "seq2seq": (
        {"num_classes": 7, "num_source_classes": 7, "features": 4, "embedding": 3},
        (TOKENS, LENGTHS, TOKENS),
    ),
    "sequence_classifier": ({"num_classes": 3, "features": 4}, (FEATURES, LENGTHS)),
    "tagger": ({"num_classes": 3, "features": 4}, (FEATURES, LENGTHS)),
}


def test_these_are_all_of_them():
    assert set(NETWORKS) == set(models.names()) - set(models.names("image"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_parameter_has_a_finite_gradient(name, dtype):
    arguments, inputs = NETWORKS[name]
    model = models.create(name, **arguments, dropout_rate=0.1, dtype=dtype)
    params = model.init(jax.random.key(0), *inputs)["params"]

    def loss(params):
        outputs = model.apply({"params": params}, *inputs, train=True, rngs={"dropout": jax.random.key(1)})
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        assert logits.dtype == jnp.float32
        return jnp.square(logits - 0.3).sum()

    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.grad(loss)(params)):
        assert gradient.dtype == jnp.float32, path
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 0, path
