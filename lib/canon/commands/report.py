"""`launch.py report`: verdict, figures and page again, from what a workdir holds."""

from pathlib import Path

from canon.commands import arguments as command_line

DESCRIPTION = "Reads the runs of a study back and writes verdict.json, figures/ and report.html again. Trains nothing."


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    parser = command_line.Parser("report", DESCRIPTION)
    parser.add_argument("workdir", type=Path, metavar="WORKDIR")
    directory = parser.parse_args(arguments).workdir

    from canon.commands.conduct import announce
    from canon.study import report, workdir

    announce(report.write(workdir.read(directory), directory), directory)
    return 0
