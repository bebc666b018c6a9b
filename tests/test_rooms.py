"""Which part of the project may import which, and what none of them brings with it."""

import ast
import subprocess
import sys
from pathlib import Path

from canon.commands import arguments

ROOT = Path(__file__).parents[1]


def test_importing_canon_and_a_model_brings_no_data_library_and_no_matplotlib():
    code = (
        "import sys, canon\nfrom canon.models import cifar_resnet\nprint(*{n.partition('.')[0] for n in sys.modules})"
    )
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(names) & {"matplotlib", "tensorflow_datasets", "sklearn", "grain", "tensorflow", "ml_collections"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_point_one_way_only():
    floors = [
        {"compile_options", "errors", "files", "huge_pages", "imagenet", "imports", "multiply_adds", "unraisable"},
        {"catalog", "cluster", "lock", "config", "roll_call", "sweep", "torch_pickle"},
        {"config_identity", "experiment_file", "hosts", "overrides", "layers", "weight_files"},
        {"models", "data", "losses", "schedules"}, {"optimizers", "analysis", "generation"},
        {"training"}, {"study"}, {"commands"},
    ]  # fmt: skip
    level = {room: i for i, rooms in enumerate(floors) for room in rooms}
    for path in (ROOT / "lib" / "canon").rglob("*.py"):
        own = path.relative_to(ROOT / "lib" / "canon").with_suffix("").parts[0]
        if own == "__init__":
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "canon" and len(parts) > 1 and parts[1] in level and parts[1] != own:
                assert level[parts[1]] <= level[own], f"{path} imports {name}"
                same_floor = level[parts[1]] == level[own]
                assert not same_floor or {parts[1], own} <= {"errors", "files", "catalog", "config"}, (
                    f"{path} imports {name}"
                )


def test_experiments_import_no_jax():
    for path in arguments.names(ROOT / "experiments"):
        assert not [name for name in imports(ROOT / "experiments" / f"{path}.py") if name.startswith(("jax", "flax"))]
