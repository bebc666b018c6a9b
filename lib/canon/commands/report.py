"""`launch.py report`: verdict, figures and page again, from what a workdir holds."""

from pathlib import Path
from typing import Any

from canon.commands import arguments as command_line
from canon.study import report, workdir
from canon.study.verdict import VERDICT_FILE

DESCRIPTION = "Reads the runs of a study back and writes verdict.json, figures/ and report.html again. Trains nothing."


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    parser = command_line.Parser("report", DESCRIPTION)
    parser.add_argument("workdir", type=Path, metavar="WORKDIR")
    directory = parser.parse_args(arguments).workdir
    announce(report.write(workdir.read(directory), directory), directory)
    return 0


def announce(verdict: dict[str, Any], directory: Path) -> None:
    """Prints a verdict, claim by claim, and where its files are."""
    print(f"\nverdict: {verdict['verdict']} ({verdict['runs']['ended']} of {verdict['runs']['planned']} runs)")
    for claim in verdict["claims"].values():
        print(f"  {claim['verdict']:13} {claim['statement']}")
        print(f"  {'':13} {claim['metric']} of {claim['higher']} minus {claim['lower']}: {report.difference(claim)}")
    print(f"report:  {directory / report.REPORT_FILE}\nnumbers: {directory / VERDICT_FILE}")
