"""The one door to canon's experiments: `launch.py VERB ...`. A verb is looked up here, and only then imported."""

import contextlib
import importlib
import os
import signal
import sys
import threading
from pathlib import Path

EXPERIMENTS = Path(__file__).resolve().parent / "experiments"

VERBS = {
    "list": "the experiments: what each asks, its data and its rough cost",
    "run": "train the runs of an experiment, and judge its claims: run NAME[:ARGUMENT]",
    "verify": "whether all that a workdir holds is what was written there: verify WORKDIR",
    "report": "write verdict, figures and report again, from what a workdir holds: report WORKDIR",
    "evaluate": "the metrics of a trained run over whole splits: evaluate WORKDIR/ARM/seed-N",
    "augment": "a picture of what an experiment does to its training images: augment NAME[:ARGUMENT]",
    "summary": "a network layer by layer: sizes, memory, parameters, multiply-adds: summary MODEL",
    "sample": "text as a trained character model writes it: sample WORKDIR/ARM/seed-N --prompt TEXT",
    "translate": "a sentence in another language, by a trained translator: translate WORKDIR/ARM/seed-N SENTENCE",
    "cells": "a page of text, coloured by what the units of a trained character model do: cells WORKDIR/ARM/seed-N",
    "predict": "what a network with given weights sees in images: predict IMAGE... --weights FILE --model NAME",
    "prepare": "download and prepare a data set of TensorFlow Datasets: prepare NAME",
}

HELP = (
    "usage: launch.py VERB ...\n\n"
    + "\n".join(f"  {verb:10}{text}" for verb, text in VERBS.items())
    + """

`launch.py VERB --help` says more. To begin: launch.py run plain_vs_residual
"""
)


def main(arguments: list[str]) -> int:
    """Runs one verb and returns the exit status: 2 for what a user can mend, 1 for a disk, 128 + n for signal n."""
    verb, *rest = arguments or ["list"]
    if verb in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    try:
        from canon.errors import UserError, did_you_mean, outcome
    except ModuleNotFoundError:
        print("canon: not installed in this Python; in its folder: pip install -e .", file=sys.stderr)
        return 2
    try:
        if verb not in VERBS:
            is_experiment = (EXPERIMENTS / f"{verb.partition(':')[0]}.py").is_file()
            nearest = f"; did you mean run {verb}?" if is_experiment else did_you_mean(verb, VERBS)
            raise UserError(f"no verb {verb!r}{nearest} (there are: {', '.join(VERBS)})")
        return importlib.import_module(f"canon.commands.{verb}").main(rest, EXPERIMENTS)
    except BrokenPipeError:  # the reader of a pipe has had enough; what a run saved before is kept
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it leaves
        return 141
    except (UserError, KeyboardInterrupt, OSError, MemoryError) as error:
        status, line = outcome(error)
        print(f"canon: {line}", file=sys.stderr)
        return status


def stop_at_once(number: int, frame: object) -> None:
    """What Ctrl-C does until a verb sees to it: amid a library's import an exception is swallowed, or breaks it."""
    with contextlib.suppress(Exception):  # as where it was about to be written itself
        sys.stdout.flush()
    os.write(2, b"canon: stopped at once; what was saved before is kept\n")
    os._exit(130)


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as behind nohup
        signal.signal(signal.SIGINT, stop_at_once)
    try:
        from canon import huge_pages
    except ImportError:
        pass  # `main` says what is missing
    else:
        huge_pages.restart()
    status = main(sys.argv[1:])
    sys.stdout.flush()
    # A library's threads may wait for a disk that takes nothing, and what is compiled ahead is not wanted any more:
    # Python would wait for them.
    if status == 1 or any(thread.name == "compiling ahead" for thread in threading.enumerate()):
        os._exit(status)
    sys.exit(status)
