"""`launch.py augment`: a contact sheet of what an experiment does to its training images."""

from pathlib import Path

from canon.commands import arguments as command_line
from canon.commands import runtime
from canon.errors import UserError

DESCRIPTION = """Draws what each arm of an experiment does to its training images: a picture to look at before training.

    launch.py augment augmentation
    launch.py augment augmentation:cifar10 --images=5 --out=sheet.png

A block for each way in which arms treat their images, a row for each image: the image as it is, and draws of it. The
colours are as they are before normalisation. Every field of the config can be set by --config.FIELD=VALUE.
"""

MOST = 100


def main(arguments: list[str], experiments: Path) -> int:
    """Runs the command and returns its exit status."""
    rest, overrides = command_line.split_overrides(arguments)
    parser = command_line.Parser("augment", DESCRIPTION, takes_config=True)
    parser.add_argument("experiment", nargs="?", metavar="NAME[:ARGUMENT]", help="see launch.py list")
    parser.add_argument("--config", metavar="FILE[:ARGUMENT]", help="an experiment file, in place of a name")
    parser.add_argument("--out", type=Path, default=Path("augment.png"), metavar="FILE", help="default: augment.png")
    parser.add_argument("--images", type=int, default=3, help="images of each arm (default: 3)")
    parser.add_argument("--draws", type=int, default=9, help="draws of each image (default: 9)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    options = parser.parse_args(rest)
    for name in ("images", "draws"):
        if not 1 <= getattr(options, name) <= MOST:
            raise UserError(f"--{name} must be from 1 to {MOST}, not {getattr(options, name)}")
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed must be from 0 to {2**32 - 1}, not {options.seed}")
    if options.out.suffix != ".png" or not options.out.parent.is_dir() or options.out.is_dir():
        raise UserError(f"--out takes the path of a .png in a folder that exists, not {options.out}")
    experiment = command_line.choose_experiment("augment", options.experiment, options.config, experiments)

    from canon.commands.conduct import configure
    from canon.study import contact_sheet, plan

    runtime.start()
    arms = plan.arm_configs(configure(experiment, overrides))
    if any(arm.task != "classification" for arm in arms.values()):
        raise UserError(f"augment shows images that are to be classified; {experiment.name} has another task")
    titles = contact_sheet.write(arms, options.out, options.images, options.draws, options.seed)
    print(f"{options.out}: {options.images} images and {options.draws} draws of each, for {'; '.join(titles)}")
    return 0
