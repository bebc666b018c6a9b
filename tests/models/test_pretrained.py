"""Published weights: every tensor finds its place, and comes back from it unchanged."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from jax import numpy as jnp

from canon import imagenet, models
from canon.errors import UserError
from canon.models import pretrained


def shapes_of(model):
    images = jax.ShapeDtypeStruct((1, *model.native_shape), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), images)


def any_bits(model, random):
    """Variables of all bit patterns there are, infinities, NaNs and negative zeros among them."""
    return jax.tree.map(
        lambda leaf: random.integers(0, 2**32, leaf.shape, np.uint32).view(np.float32), shapes_of(model)
    )


def same_bits(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: np.array_equal(x.view(np.uint32), y.view(np.uint32)), a, b))


DEEPEST = {"resnet101", "resnet152"}

# Those of AlexNet and VGG, 60 to 140 million numbers each, come from PyTorch and go back below.
SMALL = [name for name in pretrained.FORMS if not name.startswith(("alexnet", "vgg"))]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in DEEPEST)) for n in SMALL])
def test_weights_go_to_pytorch_and_back_bit_for_bit(name, random):
    model = pretrained.create(name)
    variables = any_bits(model, random)
    tensors = pretrained.to_torch(model, variables)
    assert sum(array.size for array in tensors.values()) == sum(leaf.size for leaf in jax.tree.leaves(variables))
    again = pretrained.from_torch(model, tensors)
    assert same_bits(again, variables)
    assert same_bits(pretrained.to_torch(model, again), tensors)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
def test_vggs_layers_keep_their_order(name, batch_norm):
    """torchvision numbers them one after another; many have the same shape, so that only their order tells them."""
    model = pretrained.create(name, batch_norm=batch_norm)
    ours = sorted(flatten_dict(shapes_of(model)).items(), key=lambda item: place_in_network(*item[0][1:]))
    tagged = {path: np.broadcast_to(np.float32(i), leaf.shape) for i, (path, leaf) in enumerate(ours)}
    variables = {collection: {} for collection in ("params", "batch_stats")[: 1 + batch_norm]}
    for (collection, layer, kind), leaf in tagged.items():
        variables[collection].setdefault(layer, {})[kind] = leaf
    tensors = pretrained.to_torch(model, variables)
    order = ["weight", "bias", "running_mean", "running_var"]

    def place_there(key):
        part, i, kind = key.split(".")
        return part == "classifier", int(i), order.index(kind)

    assert [tensors[key].flat[0] for key in sorted(tensors, key=place_there)] == list(range(len(ours)))


def place_in_network(layer, kind):
    """Of an array: conv1_1 before norm1_1 before conv1_2, and dense layers last; kernel before bias."""
    numbers = tuple(map(int, layer.removeprefix("conv").removeprefix("norm").removeprefix("fc").split("_")))
    return layer.startswith("fc"), numbers, layer.startswith("norm"), LEAVES.index(kind)


LEAVES = ["kernel", "scale", "bias", "mean", "var"]

TWINS = {
    "alexnet_one_column": lambda t: t.alexnet_one_column(),
    "googlenet": lambda t: t.googlenet(),
    "resnet18": lambda t: t.resnet(18),
    "resnet34": lambda t: t.resnet(34),
    "resnet50": lambda t: t.resnet(50),
    "resnet101": lambda t: t.resnet(101),
    "resnet152": lambda t: t.resnet(152),
    "se_resnet50": lambda t: t.se_resnet50(),
    "vgg11": lambda t: t.vgg(11),
    "vgg13": lambda t: t.vgg(13),
    "vgg16": lambda t: t.vgg(16),
    "vgg19": lambda t: t.vgg(19),
    "vgg19-norm": lambda t: t.vgg(19, batch_norm=True),
}


@pytest.mark.parametrize("name", TWINS)
def test_tensors_have_pytorchs_names_and_shapes(name, torch_networks):
    with torch_networks.torch.device("meta"):
        expected = {key: tuple(tensor.shape) for key, tensor in TWINS[name](torch_networks).state_dict().items()}
    name, _, norm = name.partition("-")
    model = pretrained.create(name, **({"batch_norm": True} if norm else {}))
    zeros = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes_of(model))
    counters = {key for key in expected if key.endswith(".num_batches_tracked")}  # nothing reads them
    assert {key: array.shape for key, array in pretrained.to_torch(model, zeros).items()} == {
        key: shape for key, shape in expected.items() if key not in counters
    }


def test_every_form_has_a_twin():
    assert {*TWINS} - {"vgg19-norm"} == {*pretrained.FORMS}


LOGITS = ["alexnet_one_column", "googlenet", "resnet18", "resnet50", "se_resnet50"]


@pytest.mark.parametrize(
    ("name", "arguments", "twin"),
    [
        *((name, {}, TWINS[name]) for name in LOGITS),
        ("vgg13", {"batch_norm": True}, lambda t: t.vgg(13, batch_norm=True)),
    ],
    ids=[*LOGITS, "vgg13-norm"],
)
def test_pytorchs_weights_give_pytorchs_logits_and_go_back_bit_for_bit(name, arguments, twin, torch_networks, random):
    torch = torch_networks.torch
    module = torch_networks.randomize(twin(torch_networks), seed=1)
    images = random.normal(size=(1, 224, 224, 3)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    model = pretrained.create(name, **arguments)
    tensors = {key: tensor.numpy() for key, tensor in module.state_dict().items()}
    variables = pretrained.from_torch(model, tensors)
    again = pretrained.to_torch(model, variables)
    assert same_bits(again, {key: tensors[key] for key in again})
    logits = jax.jit(model.apply)(variables, jnp.asarray(images))
    # Both compute in float32. Logits are of the order of 10 to 100: 1e-4 to 1e-3.
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_checkpoint_of_half_precision_becomes_float32_with_every_value_kept(dtype, random):
    model = pretrained.create("resnet18", num_classes=3)
    tensors = pretrained.to_torch(model, any_bits(model, random))
    halves = {key: random.integers(0, 2**16, a.shape, np.uint16).view(jnp.dtype(dtype)) for key, a in tensors.items()}
    variables = pretrained.from_torch(model, halves)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    for key, array in pretrained.to_torch(model, variables).items():
        with np.errstate(invalid="ignore"):  # where NaNs signal
            np.testing.assert_array_equal(array.astype(np.float64), halves[key].astype(np.float64))


def test_images_are_normalised_as_the_checkpoints_want_them():
    for name in pretrained.FORMS:
        expected = ((0.5,) * 3,) * 2 if name == "googlenet" else (imagenet.MEAN, imagenet.DEVIATION)
        assert pretrained.normalization(pretrained.create(name)) == expected
    assert (imagenet.MEAN, imagenet.DEVIATION) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("name", "arguments"), [("resnet50", {}), ("resnet18", {"shortcut": "A"}), ("plain18", {}), ("se_resnet50", {})]
)
def test_weights_that_would_fit_another_form_of_a_residual_net_are_refused(name, arguments):
    with pytest.raises(UserError, match="shortcut=B and bottleneck_stride=3x3"):
        pretrained.from_torch(models.create(name, **arguments), {})
