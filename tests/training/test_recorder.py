import json

import pytest

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
    record(tmp_path, 0, [1, 2])
    events = event_file_loader.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(e.step, round(e.value, 6)) for e in events.Scalars("batch/loss")] == [(1, 0.1), (2, 0.2)]
