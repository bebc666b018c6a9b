"""`launch.py list`: the experiments, without importing jax."""

from pathlib import Path

from canon import experiment_file
from canon.commands import arguments as command_line
from canon.errors import UserError

DESCRIPTION = (
    "Lists the experiments: what each asks, its paper, and for each way to run it the data and the rough cost."
)


def main(arguments: list[str], experiments: Path) -> int:
    """Prints the list and how to start."""
    command_line.Parser("list", DESCRIPTION).parse_args(arguments)
    for name in command_line.names(experiments):
        try:
            print(_entry(name, experiments / f"{name}.py"), end="\n\n")
        except UserError as error:  # one broken file must not hide the others
            print(f"{name}\n  cannot be listed: {error}\n")
    print("To start one: launch.py run NAME. What else there is: launch.py --help")
    return 0


def _entry(name: str, path: Path) -> str:
    config = experiment_file.load(path)
    lines = [config.title or name, *([f"  {config.paper}"] if config.paper else [])]
    ways = [name] + [f"{name}:{argument}" for argument in config.arguments[1:]]
    width = max(len(way) for way in ways)
    title = config.title
    for way in ways:
        variant = experiment_file.load(path, way.partition(":")[2])
        if variant.title != title:
            lines += [variant.title, f"  {variant.paper}"]
            title = variant.title
        size = f"{len(variant.arms)} arms × {variant.seeds} seeds"
        lines.append(f"    {way:{width}}  {variant.data.source:16} {size}, {variant.cost}")
    return "\n".join(lines)
