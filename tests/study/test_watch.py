import json
import math

from canon.study.plan import runs
from canon.study.watch import Watch
from canon.study.workdir import write_run_config
from canon.training.result import Result, write_result


class Listener:
    def __init__(self):
        self.heard = []

    def __getattr__(self, name):
        return lambda *arguments, **options: self.heard.append((name, *arguments, *options.items()))


def test_what_others_write_is_told_once_and_in_order(tiny_study, tmp_path):
    first, second = planned = runs(tiny_study, tmp_path)[:2]
    for run in planned:
        write_run_config(run.directory, run.arm, run.seed, tiny_study)
    ended = Result("finished", 12, {"train/error": 0.5})
    write_result(first.directory, ended)
    metrics = second.directory / "metrics.jsonl"
    metrics.write_text('{"step": 4, "batch/loss": 1.0}\n')  # by a former launch

    listener = Listener()
    watch = Watch(planned, listener)
    assert listener.heard == [("run_began", first, ("is_compiled", True)), ("run_ended", first, ended)]
    assert watch.left == [second]
    listener.heard.clear()
    watch.look()
    assert listener.heard == []

    with metrics.open("a") as file:
        file.write('{"step": 8, "batch/loss": null}\n{"step": 12, "ba')  # the last one is not whole yet
    watch.look()
    told = listener.heard
    assert told[:3] == [("run_began", second, ("is_compiled", True)), ("started", 4, 12), ("turned_to", second)]
    ((name, step, values),) = told[3:]
    assert (name, step) == ("recorded", 8)
    assert math.isnan(values["batch/loss"])
    listener.heard.clear()

    metrics.write_text("".join(json.dumps({"step": step}) + "\n" for step in (4, 8, 12)))
    watch.look()
    assert listener.heard == [("turned_to", second), ("recorded", 12, {})]
    write_result(second.directory, ended)
    listener.heard.clear()
    watch.look()
    watch.look()
    assert listener.heard == [("turned_to", second), ("run_ended", second, ended)]
    assert watch.left == []
