import pytest

from canon import models
from canon.commands.model_arguments import read_arguments, read_shape
from canon.errors import UserError


@pytest.mark.parametrize(
    ("name", "line", "values"),
    [
        ("cifar_resnet", ["--depth=56", "--remat=true"], {"depth": 56, "remat": True}),
        ("cifar_resnet", ["--depth", "56", "--shortcut", "B"], {"depth": 56, "shortcut": "B"}),
        ("mlp", ["--hidden=3,4", "--dropout_rate=0"], {"hidden": (3, 4), "dropout_rate": 0.0}),
        ("mlp", ["--hidden", "(5,)", "--dropout_rate", "1e-1"], {"hidden": (5,), "dropout_rate": 0.1}),
        ("mlp", ["--hidden=()"], {"hidden": ()}),
        ("vgg16", ["--batch_norm=False", "--num_classes=1e2"], {"batch_norm": False, "num_classes": 100}),
        ("vgg16", ["--dtype=float32", "--dtype=bfloat16"], {"dtype": "bfloat16"}),
        ("vgg16", [], {}),
    ],
)
def test_arguments_are_read_in_either_spelling_as_values_of_their_types(name, line, values):
    read = read_arguments(name, line)
    assert read == values
    assert [type(value) for value in read.values()] == [type(value) for value in values.values()]
    models.create(name, **read)


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("resnet51", [], r"no model is called 'resnet51'; did you mean resnet\d+\? .*vgg16"),
        ("cifar_resnet", ["--dept=56"], r"cifar_resnet has no argument 'dept'; did you mean depth\? .*shortcut, remat"),
        ("cifar_resnet", ["depth=56"], "has no argument 'depth'; did you mean depth"),
        ("cifar_resnet", ["56"], "has no argument '56'"),
        ("cifar_resnet", ["--name=x"], "has no argument 'name'"),
        ("resnet50", ["--stage_sizes=1,1"], "has no argument 'stage_sizes'"),
        ("cifar_resnet", ["--depth"], "--depth takes a whole number, not ''"),
        ("cifar_resnet", ["--depth=many"], "--depth takes a whole number, not 'many'"),
        ("cifar_resnet", ["--depth=8.5"], "--depth takes a whole number"),
        ("cifar_resnet", ["--remat=yes"], "--remat takes true or false, not 'yes'"),
        ("mlp", ["--dropout_rate=nan"], "--dropout_rate takes a number"),
        ("mlp", ["--hidden=(1, 'a')"], r"--hidden takes a tuple of whole numbers, such as \(800, 800\)"),
        ("mlp", ["--hidden=1.5"], "--hidden takes a tuple of whole numbers"),
    ],
)
def test_a_mistake_is_named_in_one_line(name, line, reason):
    with pytest.raises(UserError, match=reason) as refusal:
        read_arguments(name, line)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["224x160x3", "224X160X3", "224×160×3"])
def test_a_shape_is_height_width_and_channels(text):
    assert read_shape(text) == (224, 160, 3)


@pytest.mark.parametrize(
    "text", ["", "224", "224x224", "1x2x3x4", "axbxc", "2.5x3x1", "224,224,3", "x", "0x3x3", "3x-1x3"]
)
def test_what_is_no_shape_is_refused_with_an_example_or_its_range(text):
    with pytest.raises(
        UserError, match=r"--input takes (HEIGHTxWIDTHxCHANNELS, such as 224x224x3|sizes of at least 1)"
    ):
        read_shape(text)
