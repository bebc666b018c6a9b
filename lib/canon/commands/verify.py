"""`launch.py verify`: whether everything in a workdir is what was written there."""

import sys
from pathlib import Path

from canon.commands import arguments as command_line

DESCRIPTION = """Reads all that a study has left in its workdir, and compares it with what it says of itself: every
checkpoint with its manifest (a checksum of each array), what runs recorded with how they ended, and the verdict with
the runs.

Prints a line for each run, and one for each thing that is wrong; the exit status is 1 where anything is. It changes
nothing. A damaged checkpoint costs no more than the steps since the one before it: the run goes on from there.
"""


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    parser = command_line.Parser("verify", DESCRIPTION)
    parser.add_argument("workdir", type=Path, metavar="WORKDIR")
    directory = parser.parse_args(arguments).workdir

    from canon.commands import runtime
    from canon.study import verification

    runtime.quiet()
    wrong = 0
    for finding in verification.verify(directory):
        print(f"{finding.subject}: {finding.text}", file=sys.stderr if finding.is_wrong else sys.stdout, flush=True)
        wrong += finding.is_wrong
    print("everything is whole" if not wrong else f"{wrong} thing{'s are' if wrong > 1 else ' is'} wrong")
    return 1 if wrong else 0
