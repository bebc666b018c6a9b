"""The README's Python is run as a reader would run it."""

import re
from pathlib import Path

import jax
import pytest

from canon import experiment_file, models
from canon.analysis.summary import summarize
from canon.study import plan, runner

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_a_model_is_used_in_ten_lines():
    code = next(block for block in BLOCKS if "models.create" in block)
    assert len([line for line in code.splitlines() if line]) <= 10
    names = {}
    exec(code, names)
    assert names["logits"].shape == (8, 10)
    assert jax.tree.structure(names["updates"]["batch_stats"]) == jax.tree.structure(names["variables"]["batch_stats"])


def test_a_translator_is_used_in_ten_lines():
    code = next(block for block in BLOCKS if "beam_search" in block)
    names = {}
    exec(code, names)
    assert names["logits"].shape == (2, 3, 8)
    assert names["answers"].shape == (2, 3, 5)


def test_an_experiment_is_written_in_twenty_lines(tmp_path):
    code = next(block for block in BLOCKS if "get_config" in block)
    assert len([line for line in code.splitlines() if line]) <= 22
    (tmp_path / "width.py").write_text(code)
    config = plan.complete(experiment_file.load(tmp_path / "width.py"))
    plan.check_claims(config)
    runner.Programs(config, tmp_path / "w").check(config.arms)
    assert set(config.arms) == {"narrow", "wide"}


def test_the_readme_is_finished():
    assert not re.findall(r"@[A-Z]+@|TODO", README)


@pytest.mark.parametrize("line", re.findall(r"--config\.(\S+=[^\s`,]+)", README))
def test_every_override_in_the_readme_fits(line):
    experiment = "char_rnn" if line.startswith("arms.lstm.") else "plain_vs_residual"
    config = plan.complete(experiment_file.load(ROOT / "experiments" / f"{experiment}.py"))
    plan.arm_configs(plan.override(config, *line.split("=", 1)))


def test_the_table_of_networks_has_all_of_them_with_their_true_counts():
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([\d,]+)[^|]*\| ([\d.]+) ([MG]) \|", README, re.MULTILINE)
    assert sorted(name for name, *_ in rows) == models.names("image")
    for name, parameters, multiply_adds, unit in rows:
        model = models.create(name)
        counted = summarize(model, model.native_shape)
        assert counted.parameters == int(parameters.replace(",", "")), name
        assert counted.multiply_adds / {"M": 1e6, "G": 1e9}[unit] == pytest.approx(
            float(multiply_adds), rel=0.01, abs=0.05
        )


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_what_the_readme_points_to_exists(path):
    assert (ROOT / path).exists()


def test_every_verb_is_in_the_readme():
    text = README
    verbs = re.findall(r'^    "(\w+)": "', (ROOT / "launch.py").read_text(), re.MULTILINE)
    assert len(verbs) >= 5
    for verb in verbs:
        assert f"launch.py {verb}" in text
