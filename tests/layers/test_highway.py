import jax
import numpy as np

from canon.layers.highway import Highway


def test_a_highway_layer_is_equation_3(random):
    layer = Highway()
    x = random.normal(size=(3, 4))
    p = jax.tree.map(lambda a: random.normal(size=a.shape), layer.init(jax.random.key(0), np.float32(x))["params"])
    with jax.enable_x64(True):
        y = layer.apply({"params": p}, x)
    h = np.tanh(x @ p["transform"]["kernel"] + p["transform"]["bias"])
    t = 1 / (1 + np.exp(-(x @ p["gate"]["kernel"] + p["gate"]["bias"])))
    np.testing.assert_allclose(y, h * t + x * (1 - t), rtol=1e-12)


def test_a_gate_that_begins_closed_lets_the_input_through(random):
    x = random.normal(size=(3, 4)).astype(np.float32)
    y, variables = Highway(gate_bias=-30.0).init_with_output(jax.random.key(0), x)
    np.testing.assert_allclose(y, x, rtol=1e-5)
    np.testing.assert_array_equal(variables["params"]["gate"]["bias"], -30)
