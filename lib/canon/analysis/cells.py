"""What the units of a character model follow in a text: Karpathy, Johnson and Li 2016, section 4.2 and Fig. 2.

There the units were looked through by eye. Here each is compared with what a reader can name, such as the place in the
line, or whether a quotation is open, by the correlation over a text.
"""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax import lax

_BRACKETS = {"(": ")", "[": "]", "{": "}"}


@functools.partial(jax.jit, static_argnames="model")
def memories(model: nn.Module, variables: Any, tokens: jax.Array) -> list[jax.Array]:
    """What each layer remembers after each token of a text.

    Args:
      model: `canon.models.char_rnn.CharRNN`, or what is used as it is.
      variables: its own.
      tokens: `[time]` int32.

    Returns:
      for each layer `[time, features]`: tanh(c) of an LSTM, as its output gate is about to let through, and else h.
    """

    def step(carry: Any, token: jax.Array) -> tuple[Any, list[jax.Array]]:
        _, carry = model.apply(variables, token[None, None], carry)
        return carry, [jax.numpy.tanh(layer[1][0]) if len(layer) > 1 else layer[0][0] for layer in carry]

    return lax.scan(step, model.initial_carry(1), tokens)[1]


def features(text: str) -> dict[str, np.ndarray]:
    """What a reader can follow, after each character of a text: by name `[len(text)]` float64.

    Features that never change in this text are left out.
    """
    found: dict[str, list[float]] = {}
    column = indentation = word = brackets = 0
    quote, comment, in_indentation, previous = "", False, True, ""
    for character in text:
        if character == "\n":
            column, indentation, comment, in_indentation = 0, 0, False, True
            quote = ""  # an apostrophe opens none that lasts
        else:
            column += 1
            in_indentation = in_indentation and character == " "
            indentation += in_indentation
        if not comment and quote and character == quote:
            quote = ""
        # After a letter it is an apostrophe.
        elif not comment and not quote and (character == '"' or (character == "'" and not previous.isalnum())):
            quote = character
        comment = comment or (character == "#" and not quote)
        if not quote and not comment:
            brackets = max(0, brackets + (character in _BRACKETS) - (character in _BRACKETS.values()))
        word = word + 1 if character.isalnum() else 0
        now = {
            "place in the line": column,
            "the end of a line": character == "\n",
            "inside quotes": bool(quote),
            "inside brackets": brackets > 0,
            "depth of brackets": brackets,
            "inside a comment": comment,
            "depth of indentation": indentation,
            "the indentation itself": in_indentation and character == " ",
            "place in the word": word,
            "a capital": character.isupper(),
            "a digit": character.isdigit(),
            "white space": character.isspace(),
        }
        for name, value in now.items():
            found.setdefault(name, []).append(float(value))
        previous = character
    arrays = {name: np.array(values) for name, values in found.items()}
    return {name: values for name, values in arrays.items() if np.ptp(values) > 0}


@dataclass(frozen=True)
class Unit:
    """A unit, and what it follows most closely.

    Attributes:
      layer: from 0, from the input.
      index: in the layer.
      feature: one of `features`.
      correlation: with it, from −1 to 1.
      activation: `[time]`.
    """

    layer: int
    index: int
    feature: str
    correlation: float
    activation: np.ndarray


def most_interpretable(layers: list[np.ndarray], text: str, number: int, each: int = 3) -> list[Unit]:
    """The units that follow a nameable feature most closely, the closest first.

    Args:
      layers: as `memories` returns them, for this text.
      text: what was read.
      number: of units, at most.
      each: units of one feature at most, so that others are seen as well.
    """
    named = features(text)
    units = []
    for i, activations in enumerate(layers):
        activations = np.asarray(activations, np.float64)
        correlations = np.array([_correlations(activations, values) for values in named.values()])
        for unit, best in enumerate(np.abs(correlations).argmax(axis=0) if named else []):
            units.append(Unit(i, unit, list(named)[best], float(correlations[best, unit]), activations[:, unit]))
    units.sort(key=lambda unit: -abs(unit.correlation))
    seen: dict[str, int] = {}
    chosen = []
    for unit in units:
        seen[unit.feature] = seen.get(unit.feature, 0) + 1
        if seen[unit.feature] <= each:
            chosen.append(unit)
    return chosen[:number]


def _correlations(activations: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Pearson's, of every column with the values; 0 for a column that does not change."""
    centred, target = activations - activations.mean(axis=0), values - values.mean()
    scale = np.sqrt(np.square(centred).sum(axis=0) * np.square(target).sum())
    return np.divide(target @ centred, scale, out=np.zeros_like(scale), where=scale > 0)
