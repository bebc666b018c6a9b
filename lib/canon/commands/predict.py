"""`launch.py predict`: what a published network sees in images."""

from pathlib import Path

from canon.commands import arguments as command_line
from canon.commands import runtime
from canon.errors import UserError

DESCRIPTION = """Prints the five most likely classes of each image, by a network with weights from a file.

    launch.py predict cat.jpg dog.png --model resnet50 --weights resnet50.safetensors

Weights are torchvision's, or timm's of seresnet50: a safetensors file, or a .pth, of which nothing is executed. An
image is resized to a shorter side of 256 pixels, of which the middle 224×224 are seen. Further arguments are the
model's: --batch_norm=true, --num_classes=10.
"""

SHORTER_SIDE = 256


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    parser = command_line.Parser("predict", DESCRIPTION)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument("--weights", required=True, metavar="FILE", help="a checkpoint of torchvision or timm")
    parser.add_argument("--model", required=True, metavar="NAME", help="the network that it is of")
    parser.add_argument("--classes", metavar="FILE", help="a class's name on each line (default: those of ImageNet)")
    options, rest = parser.parse_known_args(arguments)

    from canon.commands.model_arguments import read_arguments
    from canon.models import pretrained

    runtime.start()
    pretrained.create(options.model)  # a wrong name is said before its arguments are read
    model, variables = pretrained.load(options.model, options.weights, **read_arguments(options.model, rest))
    names = _class_names(options.classes, model.num_classes)
    images = [_read(path) for path in options.images]
    for path, probabilities in zip(options.images, _predict(model, variables, images), strict=True):
        if probabilities[0] != probabilities[0]:  # nan in one is nan in all
            raise UserError(f"{options.weights} holds weights with which the network gives no finite output for {path}")
        print(path)
        for i in probabilities.argsort()[::-1][:5]:
            print(f"  {100 * probabilities[i]:5.1f}%  {names[i]}")
    return 0


def _read(path: str):
    """An image that may be resized to `SHORTER_SIDE`: of a pixel by a hundred thousand, that would be gigabytes."""
    from canon.data import image_files

    image = image_files.read(path)
    height, width = image.shape[:2]
    if max(height, width) * SHORTER_SIDE**2 > min(height, width) * image_files.MOST_PIXELS:
        raise UserError(f"{path} has {width}×{height} pixels; it is too narrow to be resized to {SHORTER_SIDE}")
    return image


def _class_names(file: str | None, num_classes: int) -> list[str]:
    from canon import imagenet

    if file is None:
        names = imagenet.class_names()
        return names if num_classes == len(names) else [f"class {i}" for i in range(num_classes)]
    try:
        names = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(f"--classes {file} cannot be read: {reason}") from error
    if len(names) != num_classes:
        raise UserError(f"--classes {file} has {len(names)} lines; the network has {num_classes} classes")
    return names


def _predict(model, variables, images):
    """Probabilities for each image, one image at a time: `[num_classes]` float32 each."""
    import jax
    import numpy as np

    from canon.compile_options import compile_options
    from canon.data import crops
    from canon.models import pretrained

    mean, deviation = (np.array(values, np.float32) for values in pretrained.normalization(model))
    size = model.native_shape[0]

    def probabilities(variables, image):
        return jax.nn.softmax(model.apply(variables, image[None]))[0]

    compiled = jax.jit(probabilities, compiler_options=compile_options(jax.default_backend()))
    for image in images:
        seen = crops.center_crop(crops.resize_shorter_side(image, SHORTER_SIDE), size)
        yield np.asarray(compiled(variables, np.float32((seen / 255 - mean) / deviation)))
