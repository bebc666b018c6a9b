"""`launch.py summary`: a network layer by layer, without a weight allocated."""

from fractions import Fraction
from pathlib import Path

from canon.commands import arguments as command_line
from canon.errors import UserError

DESCRIPTION = """Prints a network layer by layer, and what it costs on one image.

    launch.py summary vgg16
    launch.py summary cifar_resnet --depth=56 --input=32x32x3

Every argument of the model can be given: --num_classes=10, --dtype=bfloat16; MODEL --help lists them. Without a name:
the models there are.

activations     numbers in a layer's output, and their memory; rectifiers and dropout work in place
multiply-adds   of convolutions and dense layers; a product and a sum count as one, as in papers
field, stride   pixels of the image that a unit sees along an axis, and between the fields of two neighbours
"""


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    parser = command_line.Parser("summary", DESCRIPTION)
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a model's name; none lists them")
    parser.add_argument("--input", metavar="HxWxC", help="the image (default: that of the model's paper)")
    if wants_help := {"-h", "--help"} & set(arguments):
        arguments = [a for a in arguments if a not in wants_help]
    options, rest = parser.parse_known_args(arguments)
    if wants_help and options.model is None:
        parser.print_help()
        return 0

    from canon import models
    from canon.commands.model_arguments import describe, read_arguments, read_shape

    if options.model is None:
        if rest:
            raise UserError(
                f"summary takes a model's name before {rest[0]} (there are: {', '.join(models.names('image'))})"
            )
        print("\n".join(models.names("image")))
        return 0
    models.check_kind(options.model, "image")
    if wants_help:
        known = models.arguments(options.model)
        print(f"arguments of {options.model}, with their defaults:")
        print("\n".join(f"  --{argument}={describe(default)}" for argument, default in known.items()))
        return 0
    model = models.create(options.model, **read_arguments(options.model, rest))
    shape = read_shape(options.input) if options.input is not None else model.native_shape

    from canon.analysis.summary import summarize

    print(_table(options.model, summarize(model, shape)))
    return 0


def _table(name: str, summary) -> str:
    header = ("layer", "kind", "output", "activations", "memory", "parameters", "multiply-adds", "field", "stride")
    image = _times(summary.input_shape)
    pixels = summary.activations - sum(row.layer.size for row in summary.rows)
    lines = [("image", "", image, f"{pixels:,}", _bytes(4 * pixels), "", "", "", "")]
    for row in summary.rows:
        field, stride = _field(row.field)
        lines.append(
            (
                row.layer.name,
                row.layer.kind,
                _times(row.layer.shape),
                f"{row.layer.size:,}",
                _bytes(row.memory),
                f"{row.parameters:,}" if row.parameters else "",
                f"{row.multiply_adds:,}" if row.multiply_adds else "",
                field,
                stride,
            )
        )
    unused = sum(summary.unused.values())
    total = (
        "total", "", "", f"{summary.activations:,}", _bytes(summary.memory),
        f"{summary.parameters - unused:,}", f"{summary.multiply_adds:,}", "", "",
    )  # fmt: skip
    widths = [max(len(line[i]) for line in (header, *lines, total)) for i in range(len(header))]

    def aligned(line: tuple[str, ...]) -> str:
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        return "  ".join(cells).rstrip()

    rule = "─" * len(aligned(header))
    title = f"{name} on an image of {image}: {summary.depth} layers with weights along the longest way"
    notes = []
    if unused:
        notes.append(
            f"and {unused:,} parameters in {', '.join(summary.unused)}, which training alone uses: "
            f"{summary.parameters:,} in all"
        )
    if any(row.field and row.field.sees_all for row in summary.rows):
        notes.append("+ a gate lets each unit see the average of the whole image besides")
    return "\n".join([title, "", aligned(header), rule, *map(aligned, lines), rule, aligned(total), *notes])


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _bytes(count: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _field(field) -> tuple[str, str]:
    if field is None:
        return "", ""
    return _square(field.size) + "+" * field.sees_all, _square(field.stride) if field.stride else ""


def _square(sizes: tuple[int | Fraction, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else "×".join(map(str, sizes))
