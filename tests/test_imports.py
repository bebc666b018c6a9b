"""What a launch does not load, and how."""

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


def test_a_launch_loads_no_library_that_it_may_not_need():
    code = "import sys; from canon.commands import conduct; print(sorted({'torch', 'scipy.stats'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
