import functools
import inspect

import pytest

from canon import models
from canon.errors import UserError

every_name = pytest.mark.parametrize("name", models.names())


def test_a_wrong_name_says_which_there_are():
    with pytest.raises(UserError, match=r"no model.*'cifar_restnet'.*did you mean cifar_resnet.*mlp"):
        models.create("cifar_restnet")


def test_a_wrong_argument_says_which_there_are():
    with pytest.raises(UserError, match=r"no argument 'dept'; did you mean depth.*shortcut"):
        models.create("cifar_resnet", dept=20)


@every_name
def test_every_argument_has_a_default_so_that_a_config_can_hold_it(name):
    assert inspect.Parameter.empty not in models.arguments(name).values()


@every_name
def test_every_model_takes_the_arguments_that_all_have(name):
    assert {"num_classes", "dropout_rate", "dtype"} <= models.arguments(name).keys()


@every_name
def test_what_makes_a_model_what_its_name_says_is_no_argument(name):
    entry = models.MODELS[name]
    fixed = entry.keywords if isinstance(entry, functools.partial) else {}
    assert not fixed.keys() & models.arguments(name).keys()
    for argument, value in fixed.items():
        with pytest.raises(UserError, match=f"model {name} has no argument '{argument}'"):
            models.create(name, **{argument: value})


def test_the_number_of_blocks_belongs_to_the_name_of_a_residual_network():
    assert "stage_sizes" not in models.arguments("resnet18")
    with pytest.raises(UserError, match=r"resnet18 has no argument 'stage_sizes' \(it has: num_classes, dropout_rate"):
        models.create("resnet18", stage_sizes=(1, 1, 1, 1))
    with pytest.raises(UserError, match=r"no argument 'shortcuts'; did you mean shortcut\?"):
        models.create("resnet18", shortcuts="A")


@every_name
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, not 0"),
        ({"num_classes": -3}, "num_classes must be at least 1, not -3"),
        ({"dropout_rate": 1.0}, "dropout_rate must be at least 0 and below 1, not 1.0"),
        ({"dropout_rate": -0.1}, "dropout_rate must be at least 0 and below 1, not -0.1"),
        ({"dropout_rate": float("nan")}, "dropout_rate must be at least 0 and below 1, not nan"),
        ({"dtype": "float8"}, "dtype must be one of float32, bfloat16, float16, float64, not 'float8'"),
        ({"dtype": "int32"}, "dtype must be one of float32, bfloat16, float16, float64, not 'int32'"),
        ({"dtype": "float64"}, "dtype float64 needs JAX_ENABLE_X64=true"),
    ],
    ids=lambda value: "-".join(map(str, *value.items())) if isinstance(value, dict) else "",
)
def test_a_value_outside_its_range_is_refused_by_every_model(name, wrong, says):
    with pytest.raises(UserError) as caught:
        models.create(name, **wrong)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("alexnet", {"columns": 3}, "columns must be 1 or 2, not 3"),
        ("alexnet_one_column", {"columns": 2}, "has no argument 'columns'"),
        ("alexnet_fig1", {"activation": "rleu"}, r"'rleu'; did you mean relu\?"),
        ("googlenet", {"form": "caffe"}, "form must be one of paper, torchvision, not 'caffe'"),
        (
            "googlenet",
            {"auxiliary_dropout_rate": 1.0},
            "auxiliary_dropout_rate must be at least 0 and below 1, not 1.0",
        ),
        ("resnet50", {"bottleneck_stride": "2x2"}, "bottleneck_stride must be one of 1x1, 3x3, not '2x2'"),
        ("resnet50", {"shortcut": "D"}, "shortcut must be A .*B .*C .*none .*not 'D'"),
        ("plain18", {"shortcut": "A"}, "has no argument 'shortcut'"),
    ],
)
def test_a_value_that_a_model_has_no_meaning_for_is_refused(name, wrong, says):
    with pytest.raises(UserError, match=says):
        models.create(name, **wrong)


@pytest.mark.parametrize("stage_sizes", [(), (2, 0, 2, 2)])
@pytest.mark.parametrize("family", [models.resnet.ResNet, models.vgg.VGG])
def test_a_stage_without_layers_is_refused(family, stage_sizes):
    with pytest.raises(UserError, match="every stage needs"):
        family(stage_sizes=stage_sizes)
