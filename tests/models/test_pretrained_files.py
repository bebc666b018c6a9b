"""Weight files: read from PyTorch, written for PyTorch, and refused where they are of another network."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from safetensors.numpy import load_file

from canon import models, weight_files
from canon.errors import UserError
from canon.models import pretrained


@pytest.fixture
def small(draw):
    """A network for three classes, its variables, and the same as PyTorch's tensors."""
    model = pretrained.create("resnet18", num_classes=3)
    variables = jax.tree.map(np.asarray, draw(lambda key: model.init(key, jnp.zeros((1, 224, 224, 3)))))
    return model, variables, pretrained.to_torch(model, variables)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def refusal(model, tensors):
    with pytest.raises(UserError) as caught:
        pretrained.from_torch(model, tensors)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_of_safetensors_is_loaded_as_it_was_saved(small, tmp_path):
    model, variables, _ = small
    path = tmp_path / "weights.safetensors"
    pretrained.save(path, model, variables)
    loaded, again = pretrained.load("resnet18", path, num_classes=3)
    assert loaded == model
    assert_equal(again, variables)


def test_a_state_dict_of_pytorch_is_loaded(torch_networks, tmp_path):
    module = torch_networks.randomize(torch_networks.resnet(18, num_classes=3), seed=0)
    torch_networks.torch.save(module.state_dict(), tmp_path / "resnet18.pth")
    model, variables = pretrained.load("resnet18", str(tmp_path / "resnet18.pth"), num_classes=3)
    tensors = {key: tensor.numpy() for key, tensor in module.state_dict().items()}
    assert_equal(variables, pretrained.from_torch(model, tensors))
    np.testing.assert_array_equal(variables["params"]["classifier"]["bias"], module.fc.bias.detach().numpy())


def test_pytorchs_module_takes_what_is_saved(small, torch_networks, tmp_path):
    model, variables, _ = small
    pretrained.save(tmp_path / "weights.safetensors", model, variables)
    tensors = {k: torch_networks.torch.from_numpy(a) for k, a in load_file(tmp_path / "weights.safetensors").items()}
    module = torch_networks.resnet(18, num_classes=3)
    missing, unexpected = module.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert all(key.endswith(".num_batches_tracked") for key in missing)  # a counter that nothing reads
    np.testing.assert_array_equal(
        module.layer4[1].bn2.running_var, variables["batch_stats"]["stage4_block2"]["norm2"]["var"]
    )


def test_pytorchs_counters_are_passed_over(small):
    model, variables, tensors = small
    counted = tensors | {"bn1.num_batches_tracked": np.array(7), "layer1.0.bn1.num_batches_tracked": np.array(7)}
    assert_equal(pretrained.from_torch(model, counted), variables)


def test_a_missing_tensor_is_named(small):
    model, _, tensors = small
    del tensors["layer2.0.downsample.1.running_mean"]
    assert refusal(model, tensors) == "the file lacks layer2.0.downsample.1.running_mean"


def test_an_extra_tensor_is_named(small):
    model, _, tensors = small
    tensors["layer2.0.conv3.weight"] = np.zeros((3, 3), np.float32)
    assert refusal(model, tensors) == "the network has no layer2.0.conv3.weight"


def test_another_shape_is_named_with_the_right_one(small):
    model, _, tensors = small
    tensors["fc.weight"] = np.zeros((1000, 512), np.float32)
    tensors["conv1.weight"] = tensors["conv1.weight"].transpose(2, 3, 1, 0)
    message = refusal(model, tensors)
    assert message.startswith("of another shape: ")
    assert "fc.weight [1000, 512], not [3, 512]" in message
    assert "conv1.weight [7, 7, 3, 64], not [64, 3, 7, 7]" in message


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint8", "bool"])
def test_another_type_is_named_since_it_would_lose_digits_or_mean_something_else(small, dtype):
    model, _, tensors = small
    tensors["fc.bias"] = tensors["fc.bias"].astype(dtype)
    assert refusal(model, tensors) == f"not of type float32: fc.bias {dtype}"


def test_all_that_is_wrong_is_listed_and_what_is_much_is_cut_short(small):
    model, _, tensors = small
    tensors = {key: array for key, array in tensors.items() if not key.startswith("layer1")}
    tensors |= {"head.weight": np.zeros(3, np.float32), "fc.bias": np.zeros(4, np.float16)}
    message = refusal(model, tensors)
    assert "the network has no head.weight; the file lacks layer1.0.bn1.bias, " in message
    assert "and 12 more; of another shape: fc.bias [4], not [3]" in message


def test_weights_of_another_network_are_refused_with_the_file(small, tmp_path):
    model, variables, _ = small
    path = tmp_path / "resnet18.safetensors"
    pretrained.save(path, model, variables)
    for name in ("resnet34", "vgg11", "alexnet_one_column"):
        with pytest.raises(UserError) as caught:
            pretrained.load(name, path, num_classes=3)
        assert str(caught.value).startswith(f"{path} does not hold the weights of this {name}: ")
        assert "the file lacks" in str(caught.value)
    with pytest.raises(UserError, match=r"of another shape: fc.bias \[3\], not \[1000\]"):
        pretrained.load("resnet18", path)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none.pth does not exist"):
        pretrained.load("resnet18", tmp_path / "none.pth")


def test_variables_of_another_network_are_not_saved(small, tmp_path):
    _, variables, _ = small
    others = [pretrained.create("resnet34", num_classes=3), pretrained.create("resnet18", num_classes=4)]
    for model in others:
        with pytest.raises(UserError, match="these are not the variables of this model"):
            pretrained.save(tmp_path / "weights.safetensors", model, variables)
    with pytest.raises(UserError, match="these are not the variables of this model"):
        pretrained.to_torch(others[1], {"params": variables["params"]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (models.create("alexnet"), "of this AlexNet; alexnet_one_column is torchvision's"),
        (models.create("googlenet"), "of torchvision's form of GoogLeNet: form=torchvision"),
        (models.create("zfnet"), "no published checkpoint of ZFNet"),
        (models.create("cifar_resnet"), "no published checkpoint of CifarResNet"),
    ],
)
def test_a_network_of_which_nothing_is_published_is_refused(model, says, small):
    _, variables, tensors = small
    assert says in refusal(model, tensors)
    with pytest.raises(UserError, match=says):
        pretrained.to_torch(model, variables)


def test_a_name_of_which_nothing_is_published_says_of_which_there_is():
    with pytest.raises(UserError, match=r"no published checkpoint of lenet5 \(there are of: alexnet_one_column, goog"):
        pretrained.create("lenet5")
    with pytest.raises(UserError, match=r"no model is called 'resnet51'; did you mean resnet50\? \(there are: alex"):
        pretrained.create("resnet51")


def test_a_published_form_can_be_given_further_arguments_but_no_wrong_ones():
    assert pretrained.create("resnet50", num_classes=7, dtype="bfloat16").num_classes == 7
    assert pretrained.create("resnet50").bottleneck_stride == "3x3"
    with pytest.raises(UserError, match=r"model resnet50 has no argument 'classes'; did you mean num_classes"):
        pretrained.create("resnet50", classes=7)


def test_googlenet_without_auxiliary_classifiers_names_those_that_the_file_has(draw):
    whole = pretrained.create("googlenet", num_classes=3)
    variables = draw(lambda key: whole.init(key, jnp.zeros((1, 224, 224, 3))))
    tensors = pretrained.to_torch(whole, variables)
    message = refusal(pretrained.create("googlenet", num_classes=3, auxiliary=False), tensors)
    assert message.startswith("the network has no aux1.conv.bn.bias, ")
    rest = {key: array for key, array in tensors.items() if not key.startswith("aux")}
    assert len(rest) < len(tensors)
    assert_equal(
        pretrained.from_torch(pretrained.create("googlenet", num_classes=3, auxiliary=False), rest)["params"],
        {key: value for key, value in variables["params"].items() if not key.startswith("auxiliary")},
    )


def test_weights_given_as_half_precision_files_are_read(small, tmp_path):
    model, _, tensors = small
    halves = {key: array.astype(jnp.bfloat16) for key, array in tensors.items()}
    weight_files.write(tmp_path / "half.safetensors", halves)
    _, variables = pretrained.load("resnet18", tmp_path / "half.safetensors", num_classes=3)
    exact = {key: array.astype(np.float32) for key, array in halves.items()}
    assert_equal(variables, pretrained.from_torch(model, exact))
