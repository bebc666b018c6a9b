import re
from html.parser import HTMLParser

import matplotlib.colors
import matplotlib.image
import pytest

from canon.study import report, runner, workdir
from canon.study.plan import runs
from canon.study.workdir import Study
from canon.training.result import Result, write_result


class Watcher(runner.Nobody):
    def __init__(self):
        self.told = []

    def run_began(self, run, is_compiled):
        self.told.append(("began", run.arm, run.seed))

    def started(self, step, steps):
        self.told.append(("started", step, steps))

    def recorded(self, step, values):
        self.told.append(("recorded", step))

    def run_ended(self, run, result):
        self.told.append(("ended", run.arm, run.seed, result.status))


@pytest.fixture
def trained(tiny_study, tmp_path):
    with tiny_study.unlocked():
        tiny_study.title = "<script>alert(1)</script>"
        tiny_study.claims.width.statement = 'Narrow is <b onclick="x">worse</b>.'
        tiny_study.seeds = 2
    study = Study("toy", "", tiny_study, None, "launch.py run toy --config.title='<i>'")
    workdir.create(tmp_path / "w", study)
    watcher = Watcher()
    runner.run(runs(tiny_study, tmp_path / "w"), runner.Programs(tiny_study, tmp_path / "w").build, watcher)
    return study, tmp_path / "w", watcher


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.addresses, self.open = set(), [], []

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def test_the_page_is_self_contained_and_escapes_every_string(trained):
    study, folder, _ = trained
    verdict = report.write(study, folder)
    page = (folder / "report.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert not tags.seen & {"script", "link", "iframe", "i", "object"}
    assert "onclick" not in re.sub(r"&[a-z#0-9]+;[^<]*", "", page)
    assert tags.addresses
    assert all(address.startswith("data:image/png;base64,") for address in tags.addresses)
    assert tags.open == []
    assert "&lt;script&gt;" in page
    assert verdict["verdict"] in page


def test_the_figure_is_a_picture_with_something_on_it(trained):
    study, folder, _ = trained
    report.write(study, folder)
    pixels = matplotlib.image.imread(folder / "figures" / "learning_curves.png")
    for colour in ("#0072B2", "#D55E00"):  # a line for each arm
        distance = abs(pixels[..., :3] - matplotlib.colors.to_rgb(colour)).max(axis=-1)
        assert (distance < 0.02).sum() > 100


def test_the_observer_is_told_of_every_run_in_order(trained):
    _, _, watcher = trained
    began = [told[1:] for told in watcher.told if told[0] == "began"]
    assert began == [("narrow", 0), ("wide", 0), ("narrow", 1), ("wide", 1)]
    assert [told[3] for told in watcher.told if told[0] == "ended"] == ["finished"] * 4


def test_runs_that_have_ended_are_skipped(trained, tiny_study):
    _, folder, _ = trained
    watcher = Watcher()
    runner.run(runs(tiny_study, folder), None, watcher)
    assert {told[0] for told in watcher.told} == {"began", "ended"}


def test_a_page_can_be_made_of_nothing_but_a_plan(tiny_study, tmp_path):
    study = Study("toy", "", tiny_study, None, "launch.py run toy")
    workdir.create(tmp_path / "w", study)
    assert report.write(study, tmp_path / "w")["verdict"] == "underpowered"
    assert "0 of 6 runs" in (tmp_path / "w" / "report.html").read_text()


def test_numbers_read_as_their_metric_wants():
    assert report.number(0.12345, "test/error") == "12.35%"
    assert report.number(0.12345, "test/loss") == "0.123"
    assert report.number(None, "test/loss") == "–"
    assert report.amount(-0.01, "test/error") == "−1.00 points"


def test_a_metric_that_only_some_arms_have_is_left_open_in_the_others(tiny_study, tmp_path):
    best = {
        "narrow": {"step": 12, "validation/error": 0.2, "train/error": 0.1},  # best at the last step
        "wide": {"step": 6, "validation/error": 0.2},
    }
    for run in runs(tiny_study, tmp_path):
        run.directory.mkdir(parents=True)
        metrics = {"train/error": 0.1, "test/error": 0.2}
        write_result(run.directory, Result("finished", 12, metrics, best_on_validation=best[run.arm]))
    report.write(Study("toy", "", tiny_study, None, "launch.py run toy"), tmp_path)
    assert "At the step with the lowest validation error" in (tmp_path / report.REPORT_FILE).read_text()
