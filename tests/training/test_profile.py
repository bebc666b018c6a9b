"""A trace of chosen steps."""

import gzip
import json

import pytest
from tests.training.runs import build

from canon.errors import UserError
from canon.training import loop
from canon.training.profile import Profile


@pytest.mark.parametrize("text", ["", "5", "0-3", "9-2", "-1-2", "1-2-3", "a-b", "99999999999-99999999999"])
def test_what_are_no_steps_is_refused(text):
    with pytest.raises(UserError, match="--profile takes FIRST-LAST"):
        Profile.parse(text)


def test_the_trace_holds_the_steps_and_training_is_as_without(tiny_config, tmp_path):
    built = build(tiny_config)
    plain = loop.train(built, 0, tmp_path / "plain")
    profile = Profile.parse("3-5")
    assert loop.train(built, 0, tmp_path / "traced", profile=profile).metrics.keys() == plain.metrics.keys()
    assert loop.train(built, 0, tmp_path / "again", profile=profile).metrics == plain.metrics  # the first run has it
    assert not (tmp_path / "again" / "profile").exists()
    assert profile.written == tmp_path / "traced" / "profile"
    (file,) = profile.written.rglob("perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    assert [int(e["args"]["step_num"]) for e in events if e.get("name") == "train"] == [3, 4, 5]
    assert list(profile.written.rglob("*.xplane.pb"))  # TensorBoard's


def test_a_run_that_ends_before_the_last_step_ends_the_trace(tiny_config, tmp_path):
    built = build(tiny_config)
    profile = Profile(11, 40)
    loop.train(built, 0, tmp_path / "run", profile=profile)
    assert list(profile.written.rglob("perfetto_trace.json.gz"))
