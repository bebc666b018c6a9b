import json

import pytest

from canon.errors import UserError
from canon.training.recorder import METRICS_FILE, Recorder, read_metrics


def record(directory, first, steps):
    with Recorder(directory, first) as recorder:
        for step in steps:
            recorder.write(step, {"batch/loss": step / 10})


def test_what_is_written_is_read_back_exactly(tmp_path):
    with Recorder(tmp_path, 0) as recorder:
        recorder.write(1, {"batch/loss": 0.1 + 0.2})
    assert read_metrics(tmp_path) == [{"step": 1, "batch/loss": 0.1 + 0.2}]


def test_a_later_launch_takes_back_what_lies_after_its_step(tmp_path):
    record(tmp_path, 0, [1, 2, 3, 4])
    record(tmp_path, 2, [3, 4, 5])
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_line_that_a_crash_cut_short_is_dropped(tmp_path):
    record(tmp_path, 0, [1, 2])
    path = tmp_path / METRICS_FILE
    path.write_text(path.read_text() + '{"step": 3, "batch/lo')
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2]
    record(tmp_path, 3, [4])
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 4]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_stays_valid_json(tmp_path, value):
    with Recorder(tmp_path, 0) as recorder:
        recorder.write(1, {"batch/loss": value})
    assert json.loads((tmp_path / METRICS_FILE).read_text(), parse_constant=pytest.fail)["batch/loss"] is None


def test_event_files_hold_the_same_numbers(tmp_path):
    event_file_loader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard, the oracle, is not installed"
    )
    record(tmp_path, 0, [1, 2, 3, 4])
    record(tmp_path, 2, [3, 4])  # a later launch comes to 3 and 4 again
    events = event_file_loader.EventAccumulator(str(tmp_path))
    events.Reload()
    expected = [(step, step / 10) for step in (1, 2, 3, 4)]
    assert [(e.step, round(e.value, 6)) for e in events.Scalars("batch/loss")] == expected


@pytest.mark.parametrize("damage", ["3", "{}", "[]", '{"step": "x"}', "\xff", "nonsense"])
def test_a_damaged_line_is_named_and_nothing_is_thrown_away(tmp_path, damage):
    record(tmp_path, 0, [1, 2, 3])
    path = tmp_path / METRICS_FILE
    lines = path.read_text().splitlines()
    path.write_bytes("\n".join([lines[0], damage, lines[2], ""]).encode("latin-1"))
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"metrics\.jsonl:2 is damaged"):
        Recorder(tmp_path, 3)
    assert path.read_bytes() == before
