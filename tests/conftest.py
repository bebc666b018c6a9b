"""What every test runs under: eight fake CPU devices, strict dtypes, and, by pyproject.toml, warnings as errors."""

import contextlib
import gc
import io
import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests import compiling

# Before jax starts.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=8 {compiling.FLAGS}"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import hypothesis
import jax
import numpy as np
import pytest
from absl import logging
from ml_collections import ConfigDict
from tests.processes import EXPERIMENT

from canon import config as canon_config
from canon.commands import runtime
from canon.data.sources import ArraySource
from canon.study import plan

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a script's shell has what it starts behind an &
    signal.signal(signal.SIGINT, signal.default_int_handler)  # and those who are started here inherit it

hypothesis.settings.register_profile("canon", deadline=None)  # what is compiled first takes its time
hypothesis.settings.load_profile("canon")
jax.config.update("jax_numpy_dtype_promotion", "strict")
logging.set_verbosity(logging.ERROR)

ROOT = Path(__file__).parents[1]


def pytest_collection_finish():
    """What is imported by now stays, and the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def forgetting():
    """After each file JAX forgets what it has traced, lowered and compiled.

    It would keep all of it for the whole process, whose memory grows by gigabytes, and which grows slow: each context
    of MLIR that is alive is looked through when the next one is made, and the garbage collector has millions of objects
    to visit.
    """
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def random():
    """A NumPy generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture
def address():
    """HOST:PORT on loopback, where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """The XDG_CACHE_HOME of processes that are started: one need not compile what another one has."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def start(tmp_path, compiled):
    """Starts a Python program in `tmp_path`, with one device of its own and as the first of a process group.

    What is left of the group is ended afterwards.
    """
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": compiling.FLAGS, "PYTHONPATH": str(ROOT)}
    environment["XDG_CACHE_HOME"] = str(compiled)
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def launch_width(experiment, start):
    """Starts `launch.py run` with `EXPERIMENT` in `tmp_path`."""

    def launch(argument, workdir, *arguments):
        return start(ROOT / "launch.py", "run", f"--config=width.py:{argument}", f"--workdir={workdir}", *arguments)

    return launch


@pytest.fixture
def experiment(tmp_path):
    """The file of `EXPERIMENT`."""
    path = tmp_path / "width.py"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture
def launch_here(tmp_path, monkeypatch, capsys):
    """Runs `launch.py` in this process and returns its exit status, output and errors."""
    door = runpy.run_path(str(ROOT / "launch.py"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "start", runtime.quiet)  # no cache of compiled programs for the tests after this one

    def launch_here(*line):
        try:
            status = door["main"](list(map(str, line)))
        except SystemExit as stop:  # argparse
            status = stop.code
        return status, *capsys.readouterr()

    return launch_here


@pytest.fixture
def tiny_config():
    """The complete config of a run that takes a second: an MLP of one small layer on digits, 12 steps."""
    config = canon_config.default()
    config.model = ConfigDict({"name": "mlp", "hidden": (8,)})
    config.schedule = ConfigDict({"name": "constant", "learning_rate": 0.1})
    config.train.batch_size = 32
    config.train.steps = 12
    config.train.log_every = 4
    config.train.evaluate_every = 6
    config.train.checkpoint_every = 5
    config.arms = ConfigDict({"only": {}})
    return plan.complete(config)


@pytest.fixture
def tiny_study(tiny_config):
    """Two arms of `tiny_config`, and a claim about them."""
    with tiny_config.unlocked():
        tiny_config.arms = ConfigDict({"narrow": {}, "wide": {"model": {"hidden": (16,)}}})
        claim = canon_config.claim(statement="Narrow is worse.", higher="narrow", lower="wide")
        tiny_config.claims = ConfigDict({"width": claim})
    return tiny_config.lock()


@pytest.fixture
def toy_source(random):
    """103 grey images of 6×5 pixels in 4 classes."""
    images = random.integers(0, 256, (103, 6, 5, 1), dtype=np.uint8)
    return ArraySource(images, (np.arange(103) % 4).astype(np.int32), num_classes=4)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """The data_dir of a prepared set `canon_photographs`, in the format of TFDS's `imagenet2012`.

    It holds JPEG images of different sizes in 4 classes, each class a colour: 16 to train, 8 for validation. One of
    them is grey, one is smaller than any crop, and one is six times as wide as it is high.
    """
    import tensorflow_datasets as tfds  # 0.3 s, for the tests that ask for it
    from PIL import Image

    class CanonPhotographs(tfds.core.GeneratorBasedBuilder):
        """It is registered under the name canon_photographs by being defined."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(num_classes=4),
                "file_name": tfds.features.Text(),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(range(16)), "validation": self._generate_examples(range(16, 24))}

        def _generate_examples(self, indices):
            colours = np.array([(200, 60, 60), (60, 200, 60), (60, 60, 200), (160, 160, 40)])
            for i in indices:
                generator = np.random.default_rng(i)
                height, width = {1: (9, 14), 2: (12, 72)}.get(i, generator.integers(36, 80, 2))
                pixels = (colours[i % 4] + generator.normal(0, 10, (height, width, 3))).clip(0, 255).astype(np.uint8)
                image = Image.fromarray(pixels)
                file = io.BytesIO()  # encoded here: TFDS would want TensorFlow to do it
                (image.convert("L") if i == 3 else image).save(file, "JPEG", quality=95)
                file.seek(0)
                yield f"{i}.jpeg", {"image": file, "label": i % 4, "file_name": f"{i}.jpeg"}

    data_dir = tmp_path_factory.mktemp("photographs")
    tfds.builder("canon_photographs", data_dir=data_dir, file_format="array_record").download_and_prepare()
    return str(data_dir)
