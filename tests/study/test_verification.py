import json
import shutil

import pytest

from canon.errors import UserError
from canon.study import report, runner, workdir
from canon.study.plan import runs
from canon.study.verification import verify
from canon.study.workdir import Study


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder of the study that each test has a copy of; it is trained once."""
    return tmp_path_factory.mktemp("kept") / "study"


@pytest.fixture
def study(tiny_study, tmp_path, kept):
    """A workdir in which everything has ended, and the runs."""
    with tiny_study.unlocked():
        tiny_study.seeds = 1
        tiny_study.data.validation_examples = 50
    if not kept.exists():
        its = Study("width", "", tiny_study, None, "launch.py run width")
        begun = tmp_path / "begun"
        workdir.create(begun, its)
        runner.run(runs(tiny_study, begun), runner.Programs(tiny_study, begun).build, runner.Nobody())
        report.write(its, begun)
        begun.rename(kept)
    shutil.copytree(kept, tmp_path / "study")
    return tmp_path / "study", runs(tiny_study, tmp_path / "study")


def wrong(directory):
    return [f"{finding.subject}: {finding.text}" for finding in verify(directory) if finding.is_wrong]


def test_what_nobody_has_touched_is_whole(study):
    directory, _ = study
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    findings = list(verify(directory))
    assert not [finding for finding in findings if finding.is_wrong]
    assert [finding.text for finding in findings] == ["finished at step 12; 2 checkpoints, and the best whole"] * 2 + [
        "underpowered"
    ]
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before


def flip(folder):
    path = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "checkpoint": (lambda run: flip(run / "checkpoints" / "10"), "checkpoints/10 is damaged"),
    "best": (lambda run: flip(run / "best"), "is damaged"),
    "config": (lambda run: (run / "config.json").write_text("{"), "config.json cannot be read"),
    "metrics": (lambda run: (run / "metrics.jsonl").write_text('{"step": 9}\n{"step": 4}\n'), "do not rise"),
    "no metrics": (lambda run: (run / "metrics.jsonl").write_text(""), "metrics of its last step, 12, are missing"),
    "result": (lambda run: (run / "result.json").write_text("{}"), "result.json cannot be read"),
    "a line": (
        lambda run: (run / "metrics.jsonl").write_text(
            "".join((run / "metrics.jsonl").read_text().splitlines(True)[1:])
        ),
        "lines of metrics, and there are",
    ),
    "a number": (
        lambda run: (run / "result.json").write_text(
            (run / "result.json").read_text().replace('"test/error": 0.', '"test/error": 0.1')
        ),
        "is not what metrics.jsonl says",
    ),
    "last": (
        lambda run: (run / "checkpoints" / "12").rename(run / "12"),
        "checkpoint of its last step, 12, is missing",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_named(study, name):
    directory, planned = study
    damage, said = DAMAGES[name]
    damage(planned[0].directory)
    found = wrong(directory)
    assert any(said in text and text.startswith("narrow seed 0: ") for text in found), found
    assert not [text for text in found if text.startswith("wide")]


def test_a_verdict_that_the_runs_do_not_bear_out_is_named(study):
    directory, planned = study
    path = planned[0].directory / "result.json"
    result = json.loads(path.read_text())
    result["metrics"]["train/error"] = 0.123
    path.write_text(json.dumps(result))
    found = wrong(directory)
    assert [
        said in text for said, text in zip(("what metrics.jsonl says", "what the runs say now"), found, strict=True)
    ]


def test_a_verdict_that_is_older_than_a_run_is_not_wrong(study):
    directory, _ = study
    path = directory / "verdict.json"
    verdict = json.loads(path.read_text())
    verdict["runs"]["ended"] = 1
    path.write_text(json.dumps(verdict))
    assert not wrong(directory)
    assert [finding.text for finding in verify(directory)][-1].startswith("of 1 runs, and 2 have ended")


def test_another_runs_checkpoint_is_named(study):
    directory, planned = study
    narrow, wide = (run.directory / "checkpoints" for run in planned)
    narrow.rename(narrow.with_name("away"))
    wide.rename(narrow)
    found = wrong(directory)
    assert any("made by another config than the run has" in text for text in found)


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(UserError, match="not the workdir of a study"):
        list(verify(tmp_path))
