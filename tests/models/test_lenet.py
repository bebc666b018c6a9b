"""LeNet-5 against LeCun et al. 1998, section II.B, which counts every weight and every connection of it."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from tests.models import torch_comparison

from canon import models
from canon.errors import UserError
from canon.models import lenet
from canon.models.lenet_bitmaps import BITMAPS

IMAGES = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)


@pytest.fixture(scope="module")
def variables():
    return models.create("lenet5").init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))


def test_each_layer_has_the_papers_number_of_trainable_parameters(variables):
    counts = {name: sum(leaf.size for leaf in layer.values()) for name, layer in variables["params"].items()}
    assert counts == {"C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164}


def test_each_layer_has_the_papers_number_of_connections(variables):
    """Each unit of a map has the map's weights and its bias; a subsampling unit has four inputs and a bias."""
    _, layers = models.intermediates(models.create("lenet5"), variables, jnp.zeros((1, 32, 32, 1)))
    counts = {}
    for name, layer in variables["params"].items():
        positions = np.prod(layers[name].shape[1:-1], dtype=int)
        maps = layers[name].shape[-1]
        counts[name] = positions * (maps * (4 + 1) if name.startswith("S") else sum(p.size for p in layer.values()))
    counts["output"] = 84 * 10
    assert counts == {
        "C1": 122_304, "S2": 5_880, "C3": 151_600, "S4": 2_000, "C5": 48_120, "F6": 10_164, "output": 840,
    }  # fmt: skip
    assert sum(counts.values()) == 340_908


def test_the_table_of_c3_is_as_the_paper_describes_it():
    """Every contiguous three and every contiguous four of the six maps, three without contiguity, and all."""
    contiguous = [[{(i + j) % 6 for j in range(size)} for i in range(6)] for size in (3, 4)]
    table = [set(maps) for maps in lenet.C3_SEES]
    assert all(maps in table[:6] for maps in contiguous[0])
    assert all(maps in table[6:12] for maps in contiguous[1])
    assert [len(maps) for maps in table[12:]] == [4, 4, 4, 6]
    assert not any(maps in contiguous[1] for maps in table[12:15])
    assert [sum(s2 in maps for maps in table) for s2 in range(6)] == [10] * 6


def test_a_map_of_c3_sees_the_maps_of_its_row_in_the_table_and_no_other(random):
    layer = lenet.TableConv(lenet.C3_SEES)
    x = jnp.asarray(random.normal(size=(1, 5, 5, 6)), jnp.float32)
    variables = layer.init(jax.random.key(0), x)
    jacobian = jax.jacobian(lambda x: layer.apply(variables, x).ravel())(x)  # [16, 1, 5, 5, 6]
    seen = (jacobian != 0).any(axis=(1, 2, 3))
    assert [tuple(np.flatnonzero(row)) for row in seen] == list(lenet.C3_SEES)


def test_weights_begin_between_2_4_over_fan_in_and_its_opposite(variables):
    params = variables["params"]
    c3 = np.array([len(maps) for maps in lenet.C3_SEES for _ in maps]) * 25
    fans_in = {"C1": 25, "S2": 4, "C3": c3, "S4": 4, "C5": 400, "F6": 120}
    for name, fan_in in fans_in.items():
        weights = np.asarray(params[name]["coefficient" if name.startswith("S") else "kernel"]) * fan_in / 2.4
        assert abs(weights).max() < 1 + 1e-6
        assert weights.size < 100 or abs(weights).max() > 0.95


def test_equals_pytorch_up_to_f6_in_activations_and_in_every_gradient(torch_networks, random):
    module = torch_networks.randomize(torch_networks.lenet5(), seed=0)
    images = random.normal(size=(5, 32, 32, 1))
    expected, tensors, gradients = torch_comparison.torch_outputs_and_gradients(module, images, train=False)

    def ours(tensors):
        """C3's filters one after another, each row of the table in our order."""
        table = [list(maps) for maps in torch_networks.TABLE_I]
        rows = zip(lenet.C3_SEES, table, strict=True)
        filters = [tensors[f"c3.{i}.weight"][0, row.index(s2)] for i, (maps, row) in enumerate(rows) for s2 in maps]
        c3 = {
            "kernel": np.stack(filters, axis=-1),
            "bias": np.concatenate([tensors[f"c3.{i}.bias"] for i in range(16)]),
        }
        params = {
            key.upper(): {"kernel": tensors[f"{key}.weight"].T, "bias": tensors[f"{key}.bias"]}
            for key in ("c1", "c5", "f6")
        }
        for key in ("c1", "c5"):
            params[key.upper()]["kernel"] = tensors[f"{key}.weight"].transpose(2, 3, 1, 0)
        subsampling = {
            key.upper(): {kind: tensors[f"{key}_{kind}"] for kind in ("coefficient", "bias")} for key in ("s2", "s4")
        }
        return params | subsampling | {"C3": c3}

    with jax.enable_x64(True):
        model = models.create("lenet5", dtype="float64")
        outputs, found = torch_comparison.outputs_and_gradients(
            lambda variables, images: [models.intermediates(model, variables, images)[1]["tanh6"]],
            {"params": ours(tensors)},
            images,
        )
    np.testing.assert_allclose(outputs[0], expected[0], rtol=1e-10)
    torch_comparison.assert_trees_close(found, ours(gradients), rtol=1e-9)


def test_the_output_is_the_negated_squared_distance_to_each_classs_pattern(variables, random):
    """Equation 7, as a loop."""
    images = jnp.asarray(random.normal(size=(2, 32, 32, 1)), jnp.float32)
    logits, layers = models.intermediates(models.create("lenet5", num_classes=9), variables, images)
    for n in range(2):
        for i in range(9):
            penalty = 0.0
            for j in range(84):
                penalty += (float(layers["tanh6"][n, j]) - float(BITMAPS[i].reshape(-1)[j])) ** 2
            np.testing.assert_allclose(logits[n, i], -penalty, rtol=1e-5)


def test_the_patterns_are_ten_different_bitmaps_of_7_by_12_pixels():
    assert BITMAPS.shape == (10, 12, 7)
    assert set(np.unique(BITMAPS)) == {-1, 1}
    assert len({bitmap.tobytes() for bitmap in BITMAPS}) == 10


def test_an_activation_that_is_a_classs_pattern_has_no_penalty_for_that_class_alone():
    layer = lenet.RadialBasis(10)
    logits = layer.apply({}, jnp.asarray(BITMAPS.reshape(10, 84), jnp.float32))
    assert (np.diag(logits) == 0).all()
    assert (np.asarray(logits)[~np.eye(10, dtype=bool)] <= -4).all()  # one pixel of another colour is 2² away


def test_more_classes_than_patterns_need_the_linear_output():
    with pytest.raises(UserError, match=r"10 classes, not for 11; use output=linear"):
        models.create("lenet5", num_classes=11)
    logits, _ = jax.eval_shape(
        models.create("lenet5", num_classes=11, output="linear").init_with_output, jax.random.key(0), IMAGES
    )
    assert logits.shape == (1, 11)


def test_an_output_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match=r"lenet5: output must be one of rbf, linear, not 'softmax'"):
        models.create("lenet5", output="softmax")
