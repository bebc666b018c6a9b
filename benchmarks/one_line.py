"""What the benchmarks say to a mistake on their command line."""

import argparse
from typing import NoReturn


class OneLine(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")
