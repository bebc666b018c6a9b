import itertools

import jax
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from canon import models


def test_it_has_the_parameters_of_its_layers_and_of_their_mirror_image():
    model = models.create("autoencoder", num_classes=784, code=30, hidden=(1000, 500, 250))
    params = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 28, 28, 1), np.float32))["params"]
    sizes = (784, 1000, 500, 250, 30, 250, 500, 1000, 784)
    expected = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    assert sum(a.size for a in jax.tree.leaves(params)) == expected


def test_with_principal_components_for_weights_it_is_scikit_learns_projection():
    x = load_digits().data[:200]
    x = x - x.mean(axis=0)
    pca = PCA(5, svd_solver="full").fit(x)
    model = models.create("autoencoder", num_classes=64, code=5, hidden=())
    params = {
        "code": {"kernel": pca.components_.T.astype(np.float32), "bias": np.zeros(5, np.float32)},
        "reconstruction": {"kernel": pca.components_.astype(np.float32), "bias": np.zeros(64, np.float32)},
    }
    given_back = model.apply({"params": params}, x.astype(np.float32).reshape(-1, 8, 8, 1))
    np.testing.assert_allclose(given_back, pca.inverse_transform(pca.transform(x)), atol=1e-4)
