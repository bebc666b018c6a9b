"""Whatever stands on the command line: a config, or one line that says what is wrong with it."""

import ast
import random
from pathlib import Path

import pytest

from canon import config as canon_config
from canon.commands import arguments
from canon.commands.conduct import configure
from canon.errors import UserError
from canon.study import plan, runner

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
QUICK = ("dropout", "loss_functions", "lstm_vs_rnn", "mlp_vs_cnn", "momentum")
NAMES = arguments.names(EXPERIMENTS)
NUMBERS = (
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "1e3",
    "1e-3",
    "0.5",
    "-0.5",
    "1e400",
    "nan",
    "inf",
    "99999999999999999999",
    "0x10",
)
TEXTS = (
    "", " ", "true", "false", "None", "none", "()", "(1,)", "(1, 2)", "('a',)", "[1]", "{}", "mlp", "char_rnn",
    "lenet5", "adam", "cosine", "digits", "../x", "\x00", "é", "'", '"', "a.b", "a=b", "--", "1,2", "activity",
    "unroll", "9" * 400,
)  # fmt: skip


def fields(config):
    return sorted(canon_config.flatten(config))


def draw(moments):
    """An experiment, and one to three fields of it or words like them, with values of any kind."""
    name = moments.choice(NAMES)
    experiment = arguments.find_experiment(name, EXPERIMENTS)
    config = CONFIGS.get(name) or CONFIGS.setdefault(name, configure(experiment, []))
    overrides = []
    for _ in range(moments.choice((1, 1, 2, 3))):
        key = moments.choice(fields(config))
        if moments.random() < 0.15:
            key = f"arms.{moments.choice(list(config.arms))}.{key}"
        if moments.random() < 0.1:  # a typing mistake
            at = moments.randrange(len(key))
            key = key[:at] + moments.choice(("", ".", "x", "_")) + key[at + 1 :]
        overrides.append((key, moments.choice((*NUMBERS, *TEXTS))))
    return experiment, overrides


CONFIGS: dict = {}


def try_one(number, folder):
    """What came of a command line: its config is taken as far as the first step, where that is quick."""
    moments = random.Random(number)
    experiment, overrides = draw(moments)
    try:
        config = configure(experiment, overrides)
        if (
            experiment.name in ("mlp_vs_cnn", "dropout", "momentum", "loss_functions", "lstm_vs_rnn")
            and number % 4 == 0
        ):
            runner.Programs(config, folder).check([next(iter(config.arms))])
    except UserError as error:
        return "refused" if str(error).strip() else "refused without a reason"
    except Exception as error:
        raise AssertionError(f"{experiment.name} {overrides}: {type(error).__name__}: {error}") from error
    assert plan.arm_configs(config)
    taken = canon_config.flatten(config)
    for key, text in dict(overrides).items():
        if not key.startswith("arms.") and not any(other.endswith(".name") for other, _ in overrides):
            assert means(taken[key], text), (experiment.name, key, text, taken[key])
    return "taken"


def means(value, text):
    """Whether a field has the value that the text says."""
    if isinstance(value, bool):
        return text.lower() == str(value).lower() or text == str(int(value))
    if value is None:
        return text.lower() == "none"
    if isinstance(value, int | float):
        return float(text) == float(value)
    if isinstance(value, tuple):
        literal = ast.literal_eval(text)
        return value == tuple(literal) if isinstance(literal, tuple | list) else value == (literal,)
    return value == text


def run(numbers, folder):
    counts = {"taken": 0, "refused": 0}
    for number in numbers:
        counts[try_one(number, folder)] += 1
    return counts


def test_three_hundred_command_lines_are_taken_or_refused(tmp_path):
    assert all(run(range(300), tmp_path).values())


@pytest.mark.slow
def test_three_thousand_command_lines_are_taken_or_refused(tmp_path, capsys):
    counts = run(range(1000, 4000), tmp_path)
    with capsys.disabled():
        print(f"\n3000 command lines: {counts}; none ended in a traceback")
