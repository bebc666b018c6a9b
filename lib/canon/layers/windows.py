"""The arithmetic of windows that slide over an input: of filters and of pools.

Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning".
"""

from collections.abc import Sequence
from numbers import Integral

from flax import linen as nn

from canon.errors import UserError

Padding = str | int | Sequence[int | tuple[int, int]]
"""A name, or the zeros to add: one number for all sides, or for each axis a number or (before, after)."""

PADDINGS = ("SAME", "SAME_LOWER", "VALID", "HALF", "FULL", "CIRCULAR", "REFLECT", "CAUSAL")
"""The names that a padding can have; the last three are for convolutions, and the last one in one dimension."""


def output_size(W: int, F: int, S: int = 1, P: int = 0, D: int = 1) -> int:  # noqa: N803  the literature's letters
    """How many positions a window has along one axis: ⌊(W + 2P − D(F − 1) − 1) / S⌋ + 1.

    Args:
      W: size of the input.
      F: size of the window.
      S: stride.
      P: zeros added on each side.
      D: dilation, the distance between neighbours in the window.

    Raises:
      UserError: the window does not fit into the input, or a number is out of range.
    """
    if min(W, F, S, D) < 1 or P < 0:
        raise UserError(f"W, F, S and D must be at least 1 and P at least 0, not W={W}, F={F}, S={S}, P={P}, D={D}")
    if not fits(W + 2 * P, F, D):
        raise UserError(f"a window of {F} with dilation {D} does not fit into {W} with {P} zeros on each side")
    return (W + 2 * P - D * (F - 1) - 1) // S + 1


def fits(size: int, window: int, dilation: int = 1) -> bool:
    """Whether a window fits into an axis of `size`, padding included."""
    return size >= dilation * (window - 1) + 1


def per_axis(name: str, value: int | Sequence[int] | None, axes: int | None = None, least: int = 1) -> tuple[int, ...]:
    """A size, stride or dilation for each spatial axis.

    Args:
      name: of the argument, for the error.
      value: one number for all axes, or one for each; None is 1 everywhere.
      axes: how many there are; None where `value` itself says it, one number being one axis.
      least: what each must be at least.

    Raises:
      UserError: a value is no integer or too small, or there is another number of them.
    """
    value = 1 if value is None else value
    values = tuple(value) if isinstance(value, Sequence) else (value,) * (axes or 1)
    if not all(isinstance(v, Integral) and v >= least for v in values):
        raise UserError(f"{name} must be integers of at least {least}, not {value!r}")
    if len(values) != (axes or len(values)) or not values:
        raise UserError(f"{name} has {len(values)} axes, where there are {axes or 'some'}: {value!r}")
    return tuple(map(int, values))


def explicit_padding(
    padding: Padding, window: Sequence[int], dilation: Sequence[int]
) -> str | tuple[tuple[int, int], ...]:
    """Half and full padding, and every number, as (before, after) for each axis; other names in capitals.

    `half` adds ⌊F / 2⌋ on each side: the size is kept at stride 1, if F is odd. `full` adds F − 1: every overlap of
    window and input has an output. F is the size of the window with its dilation.

    Args:
      padding: see `Padding`.
      window: its size along each spatial axis, without dilation.
      dilation: likewise.

    Raises:
      UserError: a name is none of `PADDINGS`, or an explicit padding has another number of axes.
    """
    reach = [d * (f - 1) for f, d in zip(window, dilation, strict=True)]
    if isinstance(padding, str):
        if padding.upper() == "HALF":
            return tuple(((r + 1) // 2,) * 2 for r in reach)
        if padding.upper() == "FULL":
            return tuple((r, r) for r in reach)
        if padding.upper() not in PADDINGS:
            raise UserError(f"no padding is called {padding!r} (there are: {', '.join(PADDINGS)}, and numbers)")
        return padding.upper()
    if isinstance(padding, Integral):
        padding = (padding,) * len(reach)
    if len(padding) != len(reach):
        raise UserError(f"padding has {len(padding)} axes, and the window {len(reach)}: {padding!r}")
    pairs = tuple(tuple(p) if isinstance(p, Sequence) else (p, p) for p in padding)
    if not all(len(pair) == 2 and all(isinstance(p, Integral) for p in pair) for pair in pairs):
        raise UserError(f"padding must be a number, or for each axis one or (before, after), not {padding!r}")
    return tuple((int(before), int(after)) for before, after in pairs)


def check_window(
    layer: nn.Module,
    size: Sequence[int],
    window: Sequence[int],
    dilation: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
) -> None:
    """Raises `UserError`, with the layer's name, where a window does not fit into an input of `size` and its padding.

    `padding` is what `explicit_padding` returned; all of its names but VALID add what the window needs.
    """
    if padding == "VALID":
        padding = ((0, 0),) * len(window)
    if isinstance(padding, str):
        enough = all(size)
    else:
        enough = all(s and fits(s + sum(p), f, d) for s, f, d, p in zip(size, window, dilation, padding, strict=True))
    if not enough:
        raise UserError(
            f"layer {layer_name(layer)}: its window of {times(window)} does not fit into the {times(size)} that the "
            "layers before leave of the image; the network needs larger images"
        )


def layer_name(layer: nn.Module) -> str:
    """Where a layer stands in its network, such as `stage1_block1/conv1`."""
    return "/".join(layer.path) or type(layer).__name__


def times(size: Sequence[int]) -> str:
    """A size as people write it: 3×3."""
    return "×".join(str(s) for s in size)
