"""What tests of whole processes share: a small experiment, and waiting for what a process writes."""

import time

EXPERIMENT = """
from ml_collections import ConfigDict
from canon import config as canon_config

def get_config(argument=""):
    config = canon_config.default()
    config.title = "Is a wider layer better?"
    config.model = ConfigDict({"name": "mlp", "hidden": (8,)})
    config.train.steps = 400 if argument == "long" else 12
    config.train.log_every = 3
    config.train.evaluate_every = 600
    config.train.checkpoint_every = 50 if argument == "long" else 5
    config.seeds = 1 if argument == "long" else 2
    config.arms = ConfigDict({"narrow": {}, "wide": {"model": {"hidden": (32,)}}})
    config.claims = ConfigDict({"width": canon_config.claim(statement="Wider.", higher="narrow", lower="wide")})
    return config
"""


def wait_for(path, text=""):
    """Returns once the file is there and has `text` in it."""
    for _ in range(600):
        if path.exists() and (content := path.read_text()) and text in content:
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} did not come" + f", or not with {text!r} in it" * bool(text))
