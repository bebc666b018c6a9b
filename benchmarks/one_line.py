"""What the benchmarks say to a mistake on their command line."""

import argparse
from typing import Any, NoReturn


class OneLine(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage; takes no flag by its beginning."""

    def __init__(self, **arguments: Any):
        super().__init__(allow_abbrev=False, **arguments)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")
