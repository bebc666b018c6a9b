"""`launch.py evaluate`: what a trained run predicts, over whole splits."""

from pathlib import Path

from canon.commands import arguments as command_line
from canon.commands import runtime
from canon.errors import UserError

DESCRIPTION = "Loads the newest checkpoint of a run and prints what is measured over every example of each split."


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    parser = command_line.Parser("evaluate", DESCRIPTION)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="WORKDIR/ARM/seed-N")
    parser.add_argument("--split", help="one split only: train, validation or test")
    parser.add_argument("--best", action="store_true", help="the checkpoint with the lowest validation error")
    options = parser.parse_args(arguments)

    from canon import config_identity
    from canon.study import workdir
    from canon.training import loop, program
    from canon.training.checkpoint import Checkpoints

    arm, seed, config = workdir.read_run_config(options.run)
    checkpoints = options.run / (loop.BEST_FOLDER if options.best else loop.CHECKPOINT_FOLDER)
    if not checkpoints.is_dir():
        why = " that is best on validation: it keeps one where it has a validation split" if options.best else ""
        raise UserError(f"{options.run} has no checkpoint to evaluate{why}")
    runtime.start()
    built = program.build(config)
    if built.checksums:
        workdir.check_text(options.run, built.vocabularies, built.checksums)
    splits = list(built.pipelines)
    if options.split is not None and options.split not in splits:
        raise UserError(f"the run has the splits {', '.join(splits)}, not {options.split!r}")
    with Checkpoints(checkpoints, config_identity.digest(config)) as kept:
        state, _ = kept.restore(built.abstract_state)
    print(f"{arm} seed {seed}, step {int(state.step)} of {config.train.steps}")
    for split in [options.split] if options.split else splits:
        metrics = loop.evaluate(built, state, split)
        error, loss = metrics[f"{split}/error"], metrics[f"{split}/loss"]
        further = {name.partition("/")[2].replace("_", " "): value for name, value in metrics.items()}
        shown = "".join(f"  {name} {further[name]:.4f}" for name in sorted(further.keys() - {"error", "loss"}))
        counted = f"{built.pipelines[split].size:,} {'characters' if 'bits per character' in further else 'examples'}"
        print(f"  {split:10} error {100 * error:.2f}%  loss {loss:.4f}{shown}  ({counted})")
    return 0
