from pathlib import Path

import jax
import pytest

from canon import models
from canon.commands import summary as summary_command
from canon.errors import UserError


@pytest.fixture
def summary(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder and returns the lines that it prints; the folder stays empty."""
    monkeypatch.chdir(tmp_path)

    def summary(*line):
        assert summary_command.main([str(part) for part in line], Path("experiments")) == 0
        assert list(tmp_path.iterdir()) == []
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out.splitlines()

    return summary


def cells(line):
    return line.split()


def test_a_network_is_a_table_with_a_row_for_each_layer_and_a_total(summary):
    title, _, header, rule, image, *rows, _, total = summary("vgg16")
    assert title == "vgg16 on an image of 224×224×3: 16 layers with weights along the longest way"
    assert cells(header)[:4] == ["layer", "kind", "output", "activations"]
    assert set(rule) == {"─"}
    assert cells(image) == ["image", "224×224×3", "150,528", "602.1", "kB"]
    assert cells(rows[2]) == ["pool1", "MaxPool", "112×112×64", "802,816", "3.2", "MB", "6", "2"]
    assert cells(rows[-3]) == ["fc6", "Dense", "4096", "4,096", "16.4", "kB", "102,764,544", "102,760,448", "404"]
    assert cells(total) == ["total", "15,237,608", "61.0", "MB", "138,357,544", "15,470,264,320"]
    assert len({len(line) for line in (header, rule)}) == 1


def test_the_columns_of_every_row_end_where_the_headers_do(summary):
    _, _, header, _, *rows, _, _ = summary("lenet5_modern")
    end = header.index("activations") + len("activations")
    assert all(row[end - 1].isdigit() and row[end] == " " for row in rows if not row.startswith("─"))


def test_without_a_name_the_models_are_listed(summary):
    assert summary() == models.names("image")


@pytest.mark.parametrize(
    ("line", "begin"),
    [
        (["cifar_resnet", "--input=32x48x1"], "cifar_resnet on an image of 32×48×1: 20 layers"),
        (["--input", "32x48x1", "cifar_resnet"], "cifar_resnet on an image of 32×48×1: 20 layers"),
        (["cifar_resnet", "--depth", "8", "--shortcut=C"], "cifar_resnet on an image of 32×32×3: 8 layers"),
        (["mlp", "--hidden=3,4,5", "--input", "7x7x1"], "mlp on an image of 7×7×1: 4 layers"),
    ],
)
def test_the_image_and_the_models_arguments_can_be_given(summary, line, begin):
    assert summary(*line)[0].startswith(begin)


def test_logits_have_as_many_numbers_as_classes(summary):
    *_, classifier, _, _ = summary("resnet18", "--num_classes=7", "--input=64x64x3")
    assert cells(classifier)[:4] == ["classifier", "Dense", "7", "7"]


def test_what_training_alone_uses_is_said_apart(summary):
    *_, total, note = summary("googlenet")
    assert "6,998,552" in cells(total)
    assert note == ("and 6,379,728 parameters in auxiliary1, auxiliary2, which training alone uses: 13,378,280 in all")


def test_fields_beside_a_gate_are_marked_and_explained(summary):
    *rows, note = summary("se_resnet50", "--input=64x64x3")
    assert note == "+ a gate lets each unit see the average of the whole image besides"
    assert cells(next(row for row in rows if row.startswith("stage2_block1/conv1 ")))[-2:] == ["35+", "8"]


def test_a_smaller_dtype_takes_less_memory(summary):
    assert cells(summary("vgg16", "--dtype=bfloat16")[5])[3:6] == ["3,211,264", "6.4", "MB"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (["vgg61"], r"no model is called 'vgg61'; did you mean vgg19\?"),
        (["vgg16", "--batchnorm=true"], r"has no argument 'batchnorm'; did you mean batch_norm\?"),
        (["vgg16", "vgg19"], "vgg16 has no argument 'vgg19'"),
        (["--depth=56"], "takes a model's name before --depth=56"),
        (["vgg16", "--num_classes=0"], "num_classes must be at least 1"),
        (["vgg16", "--dtype=int8"], "dtype must be one of float32"),
        (["cifar_resnet", "--depth=21"], "depth must be 6n"),
        (["vgg16", "--input=20x20x3"], "layer pool5: .* the network needs larger images"),
        (["vgg16", "--input=20x20"], "--input takes HEIGHTxWIDTHxCHANNELS"),
        (["vgg16", "--input="], "--input takes HEIGHTxWIDTHxCHANNELS"),
        (["vgg16", "--input"], "--input: expected one argument"),
        (["vgg16", f"--input={10**30}x3x3"], "the network cannot take images of shape"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_printed(line, reason, capsys):
    with pytest.raises(UserError, match=reason) as refusal:
        summary_command.main(line, Path("experiments"))
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr().out == ""


def test_no_weight_is_allocated(summary):
    before = len(jax.live_arrays())
    summary("vgg19")
    assert len(jax.live_arrays()) == before
