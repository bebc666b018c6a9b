"""Files that anybody may have written: what is read is of the kind that it should be, or one line says why not."""

import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from canon import files
from canon.commands.spread import _Book
from canon.data import image_files, pairs, peptides, text
from canon.errors import UserError
from canon.study import runner, workdir
from canon.study.plan import runs
from canon.training import strategy
from canon.training.recorder import read_metrics
from canon.training.result import read_result

# A folder is shared by the examples of a test, each of which writes its file anew.
within_a_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)


def read_or_refuse(read, *arguments):
    """What is read, or None where that is refused in one line."""
    try:
        return read(*arguments)
    except UserError as error:
        line = str(error)
    assert line.strip()
    return None


def mutated(content, changes):
    """`content` with some of its bytes changed, or cut short, by (place as a share, byte) and a length as a share."""
    changed = bytearray(content)
    places, length = changes
    for place, byte in places:
        if changed:
            changed[int(place * (len(changed) - 1))] = byte
    return bytes(changed[: round(length * len(changed))])


changes = st.tuples(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
    st.sampled_from((1.0, 1.0, 1.0, 0.9, 0.5, 0.0)),
)


@within_a_folder
@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_a_text_is_read_whole_or_refused(tmp_path, content):
    path = tmp_path / "text"
    path.write_bytes(content)
    for read in (files.read_text, lambda path: text.load("digits", "train", file=str(path))):
        found = read_or_refuse(read, path)
        if found is not None:
            assert found in content.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    lines = read_or_refuse(files.read_lines, path)
    if lines is not None:
        assert not [line for line in lines if "\n" in line or "\r" in line]


@within_a_folder
@given(st.text(max_size=200), st.text(max_size=200))
def test_sentences_are_paired_line_by_line_or_refused(tmp_path, sources, targets):
    (tmp_path / "train.en").write_bytes(sources.encode("utf-8", "surrogatepass"))
    (tmp_path / "train.de").write_bytes(targets.encode("utf-8", "surrogatepass"))
    found = read_or_refuse(pairs.read, tmp_path, "train", "en", "de", 20)
    if found is not None:
        assert len(found.sources) == len(found.targets) > 0
        assert all(0 < len(sentence) <= 20 for pair in found for sentence in pair)


TABLE = b"species\tmhc\tpeptide_length\tsequence\tinequality\tmeas\n" + b"".join(
    f"human\tHLA-A*02:01\t9\t{'ACDEFGHIKLMNPQRSTVWY'[i : i + 9]}\t=\t{10.0 + i}\n".encode() for i in range(11)
)


@within_a_folder
@given(changes)
def test_a_table_of_peptides_is_read_or_refused(tmp_path, change):
    path = tmp_path / "table"
    path.write_bytes(mutated(TABLE, change))
    found = read_or_refuse(peptides.read, path, "HLA-A*02:01")
    if found is not None:
        assert np.isfinite(found.affinities).all()
        assert found.lengths.min() > 0


def picture(kind):
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


PICTURES = {kind: picture(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")}


@within_a_folder
@given(st.sampled_from(sorted(PICTURES)), changes)
def test_an_image_is_read_as_one_or_refused(tmp_path, kind, change):
    path = tmp_path / "image"
    path.write_bytes(mutated(PICTURES[kind], change))
    found = read_or_refuse(image_files.read, path)
    if found is not None:
        assert found.dtype == np.uint8
        assert found.shape[2] == 3
        assert found.size <= 3 * image_files.MOST_PIXELS


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What a study has left, file by file, and how each of them is read."""
    from ml_collections import ConfigDict

    from canon import config as canon_config
    from canon.study import plan

    config = canon_config.default()
    config.model = ConfigDict({"name": "mlp", "hidden": (4,)})
    config.train.update(steps=4, log_every=2)
    config.arms = ConfigDict({"only": {}})
    config = plan.complete(config)
    folder = tmp_path_factory.mktemp("study")
    workdir.create(folder, workdir.Study("width", "", config, None, "launch.py run width"))
    planned = runs(config, folder)[:1]
    runner.run(planned, runner.Programs(config, folder).build, runner.Nobody())
    run = planned[0].directory
    workdir.keep_text(run, {"characters": ("a", "b")}, {"train": 1})
    (folder / strategy.FILE).write_text('{"strategy": "vmap", "measured": {}}')
    (folder / "jobs.json").write_text('{"slurm": {"7_0": ["only/seed-0"]}}')
    readers = {
        "study.json": (folder / "study.json", lambda path: workdir.read(path.parent).config),
        "config.json": (run / "config.json", lambda path: workdir.read_run_config(path.parent)),
        "result.json": (run / "result.json", lambda path: read_result(path.parent)),
        "metrics.jsonl": (run / "metrics.jsonl", lambda path: read_metrics(path.parent)),
        "text.json": (run / "text.json", lambda path: workdir.read_vocabularies(path.parent)),
        "seeds.json": (folder / strategy.FILE, lambda path: strategy.choose([], path)),
        "jobs.json": (folder / "jobs.json", lambda path: _Book(path, "slurm").jobs),
    }
    return {name: (path.read_bytes(), read) for name, (path, read) in readers.items()}


NAMES = ("study.json", "config.json", "result.json", "metrics.jsonl", "text.json", "seeds.json", "jobs.json")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", NAMES)
@within_a_folder
@given(data=st.data())
def test_what_a_study_has_left_is_read_or_refused(left, tmp_path, name, data):
    content, read = left[name]
    path = tmp_path / name
    if data.draw(st.booleans()):
        path.write_bytes(mutated(content, data.draw(changes)))
    else:  # JSON it is, but with another value in some place
        found = json.loads(content.splitlines()[0] if name == "metrics.jsonl" else content)
        at = found
        while isinstance(at, dict) and at:
            key = data.draw(st.sampled_from(sorted(at)))
            if not isinstance(at[key], dict) or data.draw(st.integers(0, 3)) == 0:
                at[key] = data.draw(json_values)
                break
            at = at[key]
        path.write_text(json.dumps(found) + "\n")
    read_or_refuse(read, path)
