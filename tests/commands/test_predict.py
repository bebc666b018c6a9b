from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from PIL import Image
from scipy.special import softmax

from canon import imagenet
from canon.commands import predict as predict_command
from canon.data import image_files
from canon.errors import UserError
from canon.models import pretrained

MODEL = pretrained.create("resnet18")


def he_normal(path, leaf, random):
    """As the network begins to learn, but for the logits: a handful of classes share most of the probability."""
    if path[-1] != "kernel":
        return np.full(leaf.shape, path[-1] in ("scale", "var"), np.float32)
    deviation = 0.005 if path[1] == "classifier" else np.sqrt(2 / np.prod(leaf.shape[:-1]))
    return random.normal(0, deviation, leaf.shape).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32))
    return unflatten_dict({path: he_normal(path, leaf, random) for path, leaf in flatten_dict(dict(shapes)).items()})


@pytest.fixture(scope="module")
def weights(tmp_path_factory, variables):
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    pretrained.save(path, MODEL, variables)
    return path


def photograph(height, width, seed):
    """Smooth colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Files by their paths, and what is to be seen in each."""
    folder = tmp_path_factory.mktemp("images")
    wide, high, grey = photograph(300, 420, 0), photograph(320, 256, 1), photograph(100, 90, 2)[..., 0]
    Image.fromarray(wide).save(folder / "wide.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side
    Image.fromarray(np.rot90(high)).save(folder / "turned.png", exif=exif)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(np.dstack([wide, wide[..., 0]])).save(folder / "opacity.png")
    return {
        folder / "wide.png": wide,
        folder / "turned.png": high,
        folder / "grey.png": np.dstack([grey] * 3),
        folder / "opacity.png": wide,
    }


def by_hand(variables, images):
    """Probabilities `[images, 1000]`, from the middle of images resized to a shorter side of 256."""
    batch = []
    for pixels in images:
        scale = 256 / min(pixels.shape[:2])
        height, width = (round(side * scale) for side in pixels.shape[:2])
        resized = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR), np.float64)
        top, left = (height - 224) // 2, (width - 224) // 2
        seen = resized[top : top + 224, left : left + 224] / 255
        batch.append((seen - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
    logits = jax.jit(MODEL.apply)(variables, np.array(batch, np.float32))
    return softmax(np.asarray(logits, np.float64), axis=-1)


@pytest.fixture
def predict(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder, which stays empty, and returns the lines that it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict_command.runtime, "start", lambda: None)  # no cache of programs for tests to share

    def predict(*line):
        assert predict_command.main([str(part) for part in line], Path("experiments")) == 0
        assert list(tmp_path.iterdir()) == []
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out.splitlines()

    return predict


def test_the_five_most_likely_classes_of_each_image_are_the_networks(predict, weights, variables, images):
    lines = predict(*images, "--model", "resnet18", "--weights", weights)
    names = imagenet.class_names()
    expected = by_hand(variables, images.values())
    assert (np.sort(expected)[:, -5:] > 0.02).all()  # so that the percentages say something
    assert len(lines) == 6 * len(images)
    for i, path in enumerate(images):
        title, *classes = lines[6 * i : 6 * i + 6]
        assert title == str(path)
        first_five = np.argsort(-expected[i])[:5]
        assert [line.split("%  ")[1] for line in classes] == [names[index] for index in first_five]
        printed = [float(line.split("%")[0]) for line in classes]
        np.testing.assert_allclose(printed, 100 * expected[i][first_five], atol=0.051)
    assert lines[1:6] == lines[-5:]  # the same colours, with and without opacity


def test_names_of_classes_can_be_given(predict, tmp_path_factory, weights, images):
    file = tmp_path_factory.mktemp("classes") / "names.txt"
    file.write_text("\n".join(f"thing {i} – ü" for i in range(1000)), encoding="utf-8")
    image = next(iter(images))
    lines = predict("--classes", file, "--weights", weights, "--model=resnet18", image)
    assert all(line.split("%  ")[1].startswith("thing ") for line in lines[1:])


def test_classes_without_names_are_numbered():
    assert predict_command._class_names(None, 3) == ["class 0", "class 1", "class 2"]
    assert predict_command._class_names(None, 1000) == imagenet.class_names()


@pytest.fixture
def refused(predict, weights, images, capsys):
    """Runs the command with good weights and a good image before what is given; it is refused in one line."""

    def refused(*line, model="resnet18", weights=weights):
        with pytest.raises(UserError) as refusal:
            predict(next(iter(images)), *line, "--model", model, "--weights", weights)
        assert capsys.readouterr().out == ""
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    return refused


def test_an_image_that_cannot_be_read_is_refused_before_any_is_looked_at(refused, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.jpg").write_text("dear diary")
    Image.new("RGB", (60, 60)).save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:400])
    assert "there is no image nowhere.jpg" in refused("nowhere.jpg")
    assert "text.jpg cannot be read as an image" in refused(folder / "text.jpg")
    assert "cut.jpg cannot be read as an image" in refused(folder / "cut.jpg")


def test_too_many_pixels_are_refused_in_the_file_and_after_resizing(refused, monkeypatch, tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "long.png"
    Image.new("RGB", (2000, 1)).save(path)
    assert "long.png has 2000×1 pixels; it is too narrow" in refused(path)
    monkeypatch.setattr(image_files, "MOST_PIXELS", 100)
    assert "more than 100 are refused" in refused(path)


def test_weights_of_another_network_are_refused(refused, weights):
    for model in ("resnet34", "resnet50", "vgg11", "alexnet_one_column"):
        assert f"{weights} does not hold the weights of this {model}: " in refused(model=model)
    assert "fc.weight [1000, 512], not [10, 512]" in refused("--num_classes=10")


def test_a_file_that_holds_no_weights_is_refused(refused, images, tmp_path):
    image = next(iter(images))
    assert f"{image} is neither a safetensors file nor one of torch.save" in refused(weights=image)
    assert "nowhere.pth does not exist" in refused(weights="nowhere.pth")


def test_a_model_without_a_published_checkpoint_says_which_have_one(refused):
    assert "there is no published checkpoint of mlp (there are of: alexnet_one_column" in refused(model="mlp")
    assert "no model is called 'resnet19'; did you mean resnet18?" in refused(model="resnet19")
    assert "has no argument 'dept'" in refused("--dept=3")


def test_names_that_do_not_fit_the_classes_are_refused(refused, images, tmp_path_factory):
    file = tmp_path_factory.mktemp("classes") / "names.txt"
    file.write_text("cat\ndog\n")
    assert f"--classes {file} has 2 lines; the network has 1000 classes" in refused("--classes", file)
    assert f"--classes {file.parent} cannot be read" in refused("--classes", file.parent)
    assert "it is no UTF-8 text" in refused("--classes", next(iter(images)))
    assert "--classes nowhere.txt cannot be read" in refused("--classes", "nowhere.txt")


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ([], "IMAGE, --weights, --model"),
        (["cat.jpg"], "--weights, --model"),
        (["cat.jpg", "--model=resnet18"], "--weights"),
        (["--model=resnet18", "--weights=w"], "IMAGE"),
    ],
)
def test_what_is_missing_on_the_command_line_is_said(predict, line, missing):
    with pytest.raises(UserError, match=f"the following arguments are required: {missing} "):
        predict(*line)
