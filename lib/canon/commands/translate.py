"""`launch.py translate`: sentences in another language, by a trained translator."""

import sys
from pathlib import Path

from canon.commands import arguments as command_line
from canon.commands import runtime
from canon.errors import UserError

DESCRIPTION = """Translates sentences with a trained sequence-to-sequence model, and prints a line for each.

    launch.py translate runs/source_reversal-multi30k/reversed/seed-0 "a man in a blue shirt"

What stands in the sentence and not in the model's vocabulary is said on standard error, and read as <unk>. A score is
the log-probability of an answer over its length's penalty. The language that is made has the words a0 to a9, n0 to n9.
"""

LENGTH_PENALTY = "0 to 10: by how much longer answers are favoured (default: 1)"
MOST_PENALTY = 10  # beyond some forty float32 overflows


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    parser = command_line.Parser("translate", DESCRIPTION)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="WORKDIR/ARM/seed-N")
    parser.add_argument("sentences", nargs="+", metavar="SENTENCE", help="in the source language")
    parser.add_argument("--beams", type=int, default=5, help="width of the search; 1 is greedy (default: 5)")
    parser.add_argument("--length_penalty", type=float, default=1.0, metavar="ALPHA", help=LENGTH_PENALTY)
    parser.add_argument(
        "--best", type=int, default=1, metavar="N", help="answers for each, with their scores (default: 1)"
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.length_penalty <= MOST_PENALTY:
        raise UserError(f"--length_penalty must be from 0 to {MOST_PENALTY}, not {options.length_penalty}")

    import numpy as np

    from canon.commands import text_run
    from canon.data.pairs import FILES
    from canon.data.words import BOS, EOS, join, tokenize
    from canon.generation import decoding
    from canon.training.translation_workload import most_tokens

    if not 1 <= options.beams <= decoding.MOST_BEAMS:
        raise UserError(f"--beams must be from 1 to {decoding.MOST_BEAMS:,}, not {options.beams}")
    if not 1 <= options.best <= options.beams:
        raise UserError(f"--best must be from 1 to --beams={options.beams}, not {options.best}")
    runtime.start()
    run = text_run.load_translation(options.run)
    data = run.config.data
    longest = most_tokens(data) - 1
    # What is made is no language that would have punctuation and capitals.
    split = tokenize if data.source == FILES else str.split
    read = [_checked(i, split(sentence), run.source, longest) for i, sentence in enumerate(options.sentences, start=1)]
    for sentence, words in zip(options.sentences, read, strict=True):
        if unknown := run.source.unknown(words):
            print(
                f"canon: not in the vocabulary: {', '.join(dict.fromkeys(unknown))} (in {sentence!r})", file=sys.stderr
            )
        tokens = run.source.encode(words[::-1] if data.reverse_source else words)
        given = np.array([tokens + [0] * (longest - len(tokens))], np.int32), np.array([len(tokens)], np.int32)
        answers, scores = decoding.decode(
            run.model, run.variables, given, BOS, EOS, longest + 1, options.beams, np.float32(options.length_penalty)
        )
        for answer, score in zip(np.asarray(answers)[0, : options.best], np.asarray(scores)[0], strict=False):
            if np.isneginf(score):  # there are not so many
                break
            text = join(run.target.decode(answer))
            if not text:
                print(f"canon: the answer to {sentence!r} has no words", file=sys.stderr)
            print(text if options.best == 1 else f"{score:8.3f}  {text}")
    return 0


def _checked(number: int, words: list[str], vocabulary, longest: int) -> list[str]:
    if not words:
        raise UserError(f"sentence {number} is empty")
    if len(words) > longest:
        raise UserError(f"sentence {number} has {len(words)} words and signs; the model reads {longest} at most")
    if len(vocabulary.unknown(words)) == len(words):
        raise UserError(
            f"sentence {number} has no word that the model knows; among those that it does are "
            f"{', '.join(vocabulary.words[4:9])}"
        )
    return words
