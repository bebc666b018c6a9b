"""`launch.py prepare`: download and prepare a data set, once, with the `prepare` extra."""

import signal
from pathlib import Path

from canon.commands import arguments as command_line
from canon.commands import runtime

DESCRIPTION = """Downloads a set of TensorFlow Datasets and prepares it as array_record, to be read without TensorFlow.

Needs TensorFlow, this once: pip install -e '.[prepare]'
"""


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    parser = command_line.Parser("prepare", DESCRIPTION)
    parser.add_argument("name", metavar="NAME", help="the official name, such as cifar10")
    parser.add_argument("--data_dir", default="", help="where to (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)")
    options = parser.parse_args(arguments)

    if options.name == "digits":
        print("digits comes with scikit-learn; there is nothing to prepare")
        return 0
    from canon.data import tfds_source

    runtime.quiet()
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a download that is stopped is cleared away
    builder = tfds_source.prepare(options.name, options.data_dir)
    print(f"{options.name} is prepared in {builder.data_dir}")
    return 0
