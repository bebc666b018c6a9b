"""`launch.py sample`: text as a trained character model writes it, printed while it is made."""

import sys
from pathlib import Path

from canon.commands import arguments as command_line
from canon.commands import runtime
from canon.errors import UserError

DESCRIPTION = """Writes text with a trained character model, and prints it as it is made.

    launch.py sample runs/char_rnn/lstm/seed-0 --prompt "def " --length 500 --temperature 0.8

The same seed gives the same text. A temperature below 1 keeps to what is likely; at 0 the likeliest is always taken.
"""

PIECE = 64  # characters between two prints
MOST = 10_000_000


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    parser = command_line.Parser("sample", DESCRIPTION)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="WORKDIR/ARM/seed-N")
    parser.add_argument("--prompt", default="\n", help="what the text begins with (default: a new line)")
    parser.add_argument("--length", type=int, default=500, help="characters after the prompt (default: 500)")
    parser.add_argument("--temperature", type=float, default=1.0, help="at least 0 (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    options = parser.parse_args(arguments)
    if not 1 <= options.length <= MOST:
        raise UserError(f"--length must be from 1 to {MOST:,}, not {options.length}")
    if not 0 <= options.temperature <= MOST:
        raise UserError(f"--temperature must be from 0 to {MOST:,}, not {options.temperature}")
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed must be from 0 to {2**32 - 1}, not {options.seed}")
    if not options.prompt:
        raise UserError("--prompt is empty; give it at least one character to go on from, or leave it out")

    import jax
    import numpy as np

    from canon.commands import text_run
    from canon.generation import sampling

    runtime.start()
    run = text_run.load(options.run)
    prompt = run.vocabulary.encode(options.prompt, "--prompt")
    logits, carry = sampling.read(run.model, run.variables, prompt[None])
    key, temperature = jax.random.key(options.seed), np.float32(options.temperature)
    sys.stdout.write(options.prompt)
    for position in range(0, options.length, PIECE):
        # Whole pieces, the last one too, so that there is one program to compile.
        tokens, logits, carry = sampling.sample(
            run.model, run.variables, logits, carry, key, np.int32(position), temperature, PIECE
        )
        sys.stdout.write(run.vocabulary.decode(np.asarray(tokens)[0, : options.length - position]))
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0
