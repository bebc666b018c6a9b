"""`run`, `sample` and `cells` of a character model, from a text file to a page."""

import html.parser
import json
from pathlib import Path

import pytest

from canon.commands import cells, evaluate, run, sample
from canon.errors import UserError
from canon.study import plan, workdir
from canon.training import text_workload

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TEXT = "".join(f'print("{i} times {i}", [{i} * {i}])\n' for i in range(200))


@pytest.fixture(autouse=True)
def as_in_a_process_of_its_own():
    """A text is read once in a process: here each command reads it anew."""
    text_workload._read.cache_clear()


def evaluate_after(trained, line, text):
    """`evaluate` in a process that finds another text where the run's was."""
    path = trained.parents[2] / "text.txt"
    path.write_text(text)
    text_workload._read.cache_clear()
    try:
        return evaluate.main([str(trained), *line], EXPERIMENTS)
    finally:
        path.unlink()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of 12 steps, whose text is gone."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "text.txt").write_text(TEXT)
    fields = {
        "data.text": folder / "text.txt", "train.steps": 12, "train.batch_size": 4, "data.chunk": 20, "seeds": 1,
        "arms.lstm.model.features": 8, "train.log_every": 4, "train.evaluate_every": 12, "train.checkpoint_every": 12,
    }  # fmt: skip
    line = ["char_rnn", "--arms=lstm", f"--workdir={folder / 'w'}"]
    assert run.main([*line, *(f"--config.{name}={value}" for name, value in fields.items())], EXPERIMENTS) == 0
    (folder / "text.txt").rename(folder / "elsewhere.txt")
    return folder / "w" / "lstm" / "seed-0"


def sampled(capsys, *line):
    capsys.readouterr()
    assert sample.main([str(part) for part in line], EXPERIMENTS) == 0
    return capsys.readouterr().out


def test_a_sample_begins_with_the_prompt_and_is_as_long_as_asked(trained, capsys):
    text = sampled(capsys, trained, "--prompt", 'print("7', "--length", 150, "--temperature", 0.8)
    assert text.startswith('print("7')
    assert len(text) == 8 + 150 + 1
    assert set(text) <= set(TEXT)
    assert text == sampled(capsys, trained, "--prompt", 'print("7', "--length", 150, "--temperature", 0.8)
    assert sampled(capsys, trained, "--prompt", 'print("7', "--length", 20, "--temperature", 0.8)[:-1] == text[:28]
    assert text != sampled(capsys, trained, "--prompt", 'print("7', "--length", 150, "--temperature", 0.8, "--seed", 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--prompt", ""], "--prompt is empty"),
        (["--prompt", "print(é)"], r"--prompt has the character 'é' \(line 1, column 7\)"),
        (["--length", "0"], "--length must be from 1"),
        (["--temperature", "-1"], "--temperature must be from 0"),
        (["--temperature", "nan"], "--temperature must be from 0"),
        (["--seed", "-1"], "--seed must be from 0"),
    ],
)
def test_what_cannot_be_sampled_is_said(trained, line, message):
    with pytest.raises(UserError, match=message):
        sample.main([str(trained), *line], EXPERIMENTS)


class Texts(html.parser.HTMLParser):
    """The text of every `pre` of a page."""

    def __init__(self):
        super().__init__()
        self.found, self.inside = [], False

    def handle_starttag(self, tag, attrs):
        if tag == "pre":
            self.found.append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "pre"

    def handle_data(self, data):
        if self.inside:
            self.found[-1] += data


def test_a_page_shows_the_text_once_for_each_unit(trained, tmp_path, capsys):
    text = trained.parents[2] / "elsewhere.txt"
    out = tmp_path / "page.html"
    line = [str(trained), f"--text={text}", f"--out={out}", "--length=600", "--shown=300", "--units=4"]
    assert cells.main(line, EXPERIMENTS) == 0
    assert "4 units over 600 characters" in capsys.readouterr().out
    page = out.read_text()
    assert "http" not in page
    texts = Texts()
    texts.feed(page)
    assert texts.found == [TEXT[:300]] * 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--out=page.txt"], "--out takes the path of a .html"),
        (["--units=0"], "--units must be from 1"),
        (["--text=nowhere.txt"], "nowhere.txt cannot be read"),
        ([], "text.txt cannot be read"),
    ],
)
def test_what_cannot_be_drawn_is_said(trained, line, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        cells.main([str(trained), *line], EXPERIMENTS)
    assert not list(tmp_path.iterdir())


def test_a_damaged_vocabulary_is_said(trained, tmp_path):
    path = trained / "text.json"
    whole = path.read_text()
    try:
        for damaged in ('["b", "a"]', '{"characters": ["ab"], "crc32": {}}', "{", '{"characters": [1], "crc32": {}}'):
            path.write_text(damaged)
            with pytest.raises(UserError, match="text.json cannot be read"):
                sample.main([str(trained)], EXPERIMENTS)
        content = json.loads(whole)
        path.write_text(json.dumps(content | {"characters": content["characters"][:-1]}))
        with pytest.raises(UserError, match="holds another network than the config and the vocabulary"):
            sample.main([str(trained)], EXPERIMENTS)
    finally:
        path.write_text(whole)


def test_an_evaluation_is_of_the_text_that_was_learned(trained, capsys):
    assert evaluate_after(trained, ["--split=test"], TEXT) == 0
    assert " bits per character " in capsys.readouterr().out
    backwards = "\n".join(reversed(TEXT.split("\n")))
    for other in (backwards, TEXT.replace("p", "q")):
        with pytest.raises(UserError, match="learned another text"):
            evaluate_after(trained, [], other)


def test_a_study_does_not_go_on_with_another_text(trained, tmp_path):
    text = trained.parents[2] / "text.txt"
    text.write_text("\n".join(reversed(TEXT.split("\n"))))
    (trained / "result.json").rename(trained / "ended.json")
    fields = json.loads((trained.parents[1] / "study.json").read_text())["config"]["train"]
    try:
        line = ["char_rnn", "--arms=lstm", f"--workdir={trained.parents[1]}", f"--config.data.text={text}"]
        rest = ["data.chunk=20", "seeds=1", "arms.lstm.model.features=8"]
        rest += [f"train.{name}={fields[name]}" for name in ("steps", "batch_size", "log_every", "evaluate_every")]
        rest += [f"train.checkpoint_every={fields['checkpoint_every']}"]
        with pytest.raises(UserError, match="learned another text: the test text is not what the run began with"):
            run.main([*line, *(f"--config.{field}" for field in rest)], EXPERIMENTS)
    finally:
        text.unlink()
        (trained / "ended.json").rename(trained / "result.json")


def test_a_run_of_images_cannot_be_sampled(tiny_config, tmp_path):
    with pytest.raises(UserError, match="is not the folder of a run"):
        sample.main([str(tmp_path)], EXPERIMENTS)
    workdir.write_run_config(tmp_path, "only", 0, plan.arm_configs(tiny_config)["only"])
    with pytest.raises(UserError, match="no run of a text: its config.task is classification"):
        sample.main([str(tmp_path)], EXPERIMENTS)
