"""What a launch does not load, and how."""

import os
import subprocess
import sys

import pytest

from canon import imports


def test_a_module_is_hidden_and_back_again():
    sys.modules.pop("colorsys", None)
    with imports.without("colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    with imports.without("colorsys"):
        import colorsys as again
    assert again is colorsys is sys.modules["colorsys"]


def test_it_is_back_after_an_error():
    sys.modules.pop("colorsys", None)
    with pytest.raises(KeyError), imports.without("colorsys"):
        raise KeyError
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_a_launch_loads_neither_pytorch_nor_scipy_stats(tmp_path):
    (tmp_path / "torch.py").write_text("Tensor = None")  # found first, whether PyTorch is installed or not
    code = "import sys; from canon.commands import conduct; print(sorted({'torch', 'scipy.stats'} & set(sys.modules)))"
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.stdout == "[]\n"
