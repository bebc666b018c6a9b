"""`launch.py cells`: a page of text coloured by what the units of a trained character model do."""

import itertools
from importlib import resources
from pathlib import Path

from canon.commands import arguments as command_line
from canon.commands import runtime
from canon.errors import UserError

DESCRIPTION = """Writes a page of held-out text, coloured by the activation of one unit after another.

    launch.py cells runs/char_rnn/lstm/seed-0

First come the units that follow something with a name: the place in the line, whether a quotation or a bracket is open.
Blue is −1, white 0, orange +1, of tanh(c) of an LSTM and of h of the others.
"""

SHADES = 8  # on each side of white
MOST = 200_000


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    parser = command_line.Parser("cells", DESCRIPTION)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="WORKDIR/ARM/seed-N")
    parser.add_argument("--out", type=Path, default=Path("cells.html"), metavar="FILE", help="default: cells.html")
    parser.add_argument("--text", metavar="FILE", help="a text to read, in place of the run's own test text")
    parser.add_argument("--length", type=int, default=4000, help="characters that are read (default: 4000)")
    parser.add_argument("--shown", type=int, default=1200, help="characters on the page (default: 1200)")
    parser.add_argument("--units", type=int, default=12, help="units on the page (default: 12)")
    options = parser.parse_args(arguments)
    for name, least in (("length", 2), ("shown", 1), ("units", 1)):
        if not least <= getattr(options, name) <= MOST:
            raise UserError(f"--{name} must be from {least} to {MOST:,}, not {getattr(options, name)}")
    if options.out.suffix != ".html" or not options.out.parent.is_dir() or options.out.is_dir():
        raise UserError(f"--out takes the path of a .html in a folder that exists, not {options.out}")

    import jinja2
    import numpy as np

    from canon import files
    from canon.analysis import cells
    from canon.commands import text_run
    from canon.data import text as texts

    runtime.start()
    run = text_run.load(options.run)
    data = run.config.data
    if not options.text and not data.test_split:
        raise UserError("the run has no test text; give another with --text=FILE")
    read = files.read_text(Path(options.text)) if options.text else None
    read = read or texts.load(data.source, data.test_split, data.data_dir, data.text)
    read = read[: options.length]
    layers = cells.memories(run.model, run.variables, run.vocabulary.encode(read))
    units = cells.most_interpretable([np.asarray(layer) for layer in layers], read, options.units)
    if not units:
        raise UserError("the text is too short: nothing in it changes that a unit could follow; give a larger --length")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(resources.files("canon.analysis").joinpath("cells.html.jinja").read_text())
    page = template.render(
        run=str(options.run),
        length=len(read),
        what=f"{options.text}" if options.text else "a text that it was not trained on",
        units=[(unit, _runs(read[: options.shown], unit.activation)) for unit in units],
        shades=_shades(),
    )
    files.write(options.out, page)
    print(f"{options.out}: {len(units)} units over {len(read):,} characters")
    for unit in units[:3]:
        print(f"  layer {unit.layer + 1}, unit {unit.index}: {unit.feature} (r = {unit.correlation:+.2f})")
    return 0


def _runs(text: str, activation) -> list[tuple[int, str]]:
    """The text in stretches of one shade: (shade, characters)."""
    shades = [round(float(value) * SHADES) for value in activation[: len(text)]]
    stretches = itertools.groupby(zip(shades, text, strict=True), key=lambda pair: pair[0])
    return [(shade, "".join(character for _, character in stretch)) for shade, stretch in stretches]


def _shades() -> dict[int, str]:
    """By shade, its colour: towards Okabe and Ito's blue and orange, which people with any colour vision tell apart."""
    blue, orange, white = (0, 114, 178), (230, 120, 0), (255, 255, 255)
    colours = {}
    for shade in range(-SHADES, SHADES + 1):
        end, share = (blue if shade < 0 else orange), 0.75 * abs(shade) / SHADES
        colours[shade] = "#" + "".join(f"{round(w + share * (e - w)):02x}" for e, w in zip(end, white, strict=True))
    return colours
