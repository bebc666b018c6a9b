"""`run`, `evaluate` and `translate` of a translator, from a command line to an answer."""

import json
from pathlib import Path

import numpy as np
import pytest

from canon.commands import evaluate, run, sample, translate
from canon.data.words import WordVocabulary
from canon.errors import UserError

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FIELDS = {
    "seeds": 1, "train.steps": 12, "train.batch_size": 8, "train.log_every": 4, "train.evaluate_every": 12,
    "train.checkpoint_every": 12, "model.features": 8, "model.embedding": 4,
}  # fmt: skip


def trained_on(folder, name, **fields):
    line = [name, "--arms=reversed", f"--workdir={folder / 'w'}"]
    overrides = (f"--config.{key.replace('__', '.')}={value}" for key, value in (FIELDS | fields).items())
    assert run.main([*line, *overrides], EXPERIMENTS) == 0
    return folder / "w" / "reversed" / "seed-0"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of 12 steps."""
    return trained_on(tmp_path_factory.mktemp("made"), "source_reversal", data__length=6, data__examples=20)


@pytest.fixture(scope="module")
def trained_on_files(tmp_path_factory):
    """Likewise, of sentences in files that are gone."""
    folder = tmp_path_factory.mktemp("files")
    for split, names in (("train", ("dog", "cat", "man", "bird")), ("val", ("dog",)), ("test_2016_flickr", ("cat",))):
        (folder / f"{split}.en").write_text("".join(f"A {name} sees the {name}.\n" for name in names * 2))
        (folder / f"{split}.de").write_text("".join(f"Ein {name} sieht den {name}.\n" for name in names * 2))
    directory = trained_on(folder, "source_reversal:multi30k", data__data_dir=folder)
    for path in folder.glob("*.??"):
        path.rename(folder / f"{path.name}.gone")
    return directory


def translated(capsys, *line):
    capsys.readouterr()
    assert translate.main([str(part) for part in line], EXPERIMENTS) == 0
    return capsys.readouterr()


def test_each_sentence_has_a_line_and_the_same_one_every_time(trained, capsys):
    both = translated(capsys, trained, "a1 n2 n3", "n1").out
    assert len(both.splitlines()) == 2
    assert both == translated(capsys, trained, "a1 n2 n3").out + translated(capsys, trained, "n1").out
    words = set(json.loads((trained / "text.json").read_text())["target"])
    assert set(both.split()) <= words


def test_the_best_answers_come_with_their_scores_in_order(trained, capsys):
    lines = translated(capsys, trained, "a1 n2 n3", "--best=3", "--beams=4").out.splitlines()
    scores = [float(line.split()[0]) for line in lines]
    assert len(lines) == 3
    assert scores == sorted(scores, reverse=True)
    assert len(translated(capsys, trained, "a1 n2 n3", "--beams=1").out.splitlines()) == 1


def test_sentences_are_cut_as_those_of_the_files_were_and_the_files_are_not_needed(trained_on_files, capsys):
    plain = translated(capsys, trained_on_files, "a dog sees the cat .")
    assert plain.out == translated(capsys, trained_on_files, "A dog sees the cat.").out
    assert "vocabulary" not in plain.err


def test_words_that_the_model_lacks_are_said_and_read_as_unknown(trained_on_files, capsys):
    first, second = (translated(capsys, trained_on_files, f"a {word} sees the cat.") for word in ("zebra", "lion"))
    assert "not in the vocabulary: zebra" in first.err
    assert first.out == second.out


def test_a_source_is_read_as_the_run_reads_it(trained, capsys, monkeypatch):
    seen = []
    from canon.generation import decoding

    real = decoding.beam_search

    def watch(model, variables, inputs, *rest):
        seen.append(inputs)
        return real(model, variables, inputs, *rest)

    monkeypatch.setattr(decoding, "beam_search", watch)
    translated(capsys, trained, "a1 n2 n3")
    source = WordVocabulary(tuple(json.loads((trained / "text.json").read_text())["source"]))
    ((tokens, length),) = seen
    assert tokens[0, : length[0]].tolist() == source.encode(["n3", "n2", "a1"])
    assert (tokens[0, length[0] :] == 0).all()
    assert tokens.dtype == np.int32


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ([""], "sentence 1 is empty"),
        (["n1", "  "], "sentence 2 is empty"),
        (["x y"], "sentence 1 has no word that the model knows; among"),
        (["n1 n2 n3 n4 n5 n6 n7"], "sentence 1 has 7 words and signs; the model reads 6 at most"),
        (["n1", "--beams=0"], "--beams must be from 1 to 1,000, not 0"),
        (["n1", "--length_penalty=-1"], "--length_penalty must be from 0 to 10, not -1.0"),
        (["n1", "--length_penalty=nan"], "--length_penalty must be from 0 to 10, not nan"),
        (["n1", "--best=6"], "--best must be from 1 to --beams=5, not 6"),
    ],
)
def test_what_cannot_be_translated_is_said(trained, line, says):
    with pytest.raises(UserError, match=says) as caught:
        translate.main([str(trained), *line], EXPERIMENTS)
    assert "\n" not in str(caught.value)


def test_answers_that_do_not_exist_are_not_printed(tmp_path, capsys):
    run_dir = trained_on(tmp_path, "source_reversal", data__length=1, data__examples=8, data__training_pairs=8)
    lines = translated(capsys, run_dir, "n8", "--beams=60", "--best=60").out.splitlines()
    assert 1 <= len(lines) < 60
    assert "inf" not in "".join(lines)


@pytest.mark.parametrize("content", ["abcdefgh", ["n1", "<pad>", "<bos>", "<eos>", "<unk>"]])
def test_a_damaged_vocabulary_is_said(trained, content):
    path = trained / "text.json"
    whole = path.read_text()
    try:
        path.write_text(json.dumps(json.loads(whole) | {"source": content}))
        with pytest.raises(UserError, match="text.json cannot be read"):
            translate.main([str(trained), "n1"], EXPERIMENTS)
    finally:
        path.write_text(whole)


def test_another_kind_of_run_is_said(trained):
    with pytest.raises(UserError, match="is no run of a text: its config.task is translation"):
        sample.main([str(trained)], EXPERIMENTS)


def test_an_evaluation_prints_bleu(trained, capsys):
    capsys.readouterr()
    assert evaluate.main([str(trained), "--split=test"], EXPERIMENTS) == 0
    output = capsys.readouterr().out
    assert "bleu" in output
    assert "perplexity" in output
    assert "(20 examples)" in output
