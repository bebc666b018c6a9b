"""The pickle in a file of `torch.save`, read without PyTorch and without running what is in it.

A pickle is a program that may call whatever it names. A `pickle.Unpickler` that refuses names is not enough: a
dictionary key of deeply nested tuples still overflows the C stack, and nine bytes may ask for gigabytes. So nothing is
unpickled here: `pickletools` lists the opcodes, and `interpret` follows the few that a state dict is made of. What a
pickle names is looked up in one table, of inert things.
"""

import io
import pickletools
from collections import OrderedDict
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from canon.errors import UserError

SAVE_STATE_DICT = "save the model's state_dict(), and only that"
_NOT_RUN = f"nothing of it was run; if it is a whole model, {SAVE_STATE_DICT}"

# What PyTorch calls its dtypes, and the storages of those that have one of their own.
_DTYPES = {
    "float64": (np.float64, "DoubleStorage"),
    "float32": (np.float32, "FloatStorage"),
    "float16": (np.float16, "HalfStorage"),
    "bfloat16": (ml_dtypes.bfloat16, "BFloat16Storage"),
    "int64": (np.int64, "LongStorage"),
    "int32": (np.int32, "IntStorage"),
    "int16": (np.int16, "ShortStorage"),
    "int8": (np.int8, "CharStorage"),
    "uint64": (np.uint64, None),
    "uint32": (np.uint32, None),
    "uint16": (np.uint16, None),
    "uint8": (np.uint8, "ByteStorage"),
    "bool": (np.bool_, "BoolStorage"),
}
_MOST_OPCODES = 2**20  # about 35 for a tensor
_MOST_ARGUMENTS = 8  # of `_typed_tensor`


class Storage(NamedTuple):
    """So many elements in a row, which the file keeps under `key`."""

    key: str
    dtype: np.dtype
    length: int


class Tensor(NamedTuple):
    """A view of a storage, in elements, as the file describes it: nobody has checked it, not even the types."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any
    dtype: Any


def interpret(stream: io.BytesIO, storages: dict[str, Storage]) -> Any:
    """What the pickle at the position of `stream` describes, in dicts, lists, tuples, scalars, `Tensor` and `Storage`.

    The storages that it names are put into `storages`.

    Raises:
      UserError: it needs something that no state dict needs; the message goes on after the file's name.
      Exception: it is no whole pickle.
    """
    stack: list[Any] = []
    below: list[list[Any]] = []  # for each open mark, the stack under it
    memo: dict[int, Any] = {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count >= _MOST_OPCODES:
            raise UserError(f"has a pickle of more than {_MOST_OPCODES} opcodes; {SAVE_STATE_DICT}")
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case name if name in _LITERALS:
                stack.append(argument)
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case name if name in _EMPTY:
                stack.append(_EMPTY[name]())
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "MARK":
                below.append(stack)
                stack = []
            case "TUPLE":
                items, stack = stack, below.pop()
                stack.append(tuple(items))
            case name if name in _SHORT_TUPLES:
                stack.append(tuple(_pop(stack, _SHORT_TUPLES[name])))
            case "APPEND" | "APPENDS" as name:
                items, stack = (_pop(stack, 1), stack) if name == "APPEND" else (stack, below.pop())
                if type(stack[-1]) is not list:
                    raise UserError(f"appends to a {kind(stack[-1])}; {_NOT_RUN}")
                stack[-1].extend(items)
            case "SETITEM" | "SETITEMS" as name:
                items, stack = (_pop(stack, 2), stack) if name == "SETITEM" else (stack, below.pop())
                for key, value in zip(items[::2], items[1::2], strict=True):
                    _set(stack[-1], key, value)
            case "GLOBAL":
                stack.append(_look_up(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                stack.append(_look_up(*_pop(stack, 2)))
            case "REDUCE":
                function, arguments = _pop(stack, 2)
                if not callable(function) or type(arguments) is not tuple or len(arguments) > _MOST_ARGUMENTS:
                    raise UserError(f"calls a {kind(function)} as no state dict does; {_NOT_RUN}")
                stack.append(function(*arguments))
            case "BINPERSID":
                stack.append(_storage(stack.pop(), storages))
            case "BUILD":  # attributes, for which an array has no place
                state = stack.pop()
                old_parameter = isinstance(stack[-1], Tensor) and type(state) is tuple and len(state) == 3
                if not old_parameter and not isinstance(stack[-1], OrderedDict):
                    raise UserError(f"sets the state of a {kind(stack[-1])}; {_NOT_RUN}")
            case "STOP":
                return stack.pop()
            case name:
                raise UserError(f"has the opcode {name}, which no state dict needs; {_NOT_RUN}")


def shown(value: Any) -> str:
    """A name or a message out of a file, fit for one line of a terminal."""
    return "".join(character if character.isprintable() else "?" for character in str(value)[:200])


def kind(value: Any) -> str:
    """What a message calls a value that a file describes: never its text, which may have no end."""
    return f"value of type {type(value).__name__}"


def _pop(stack: list[Any], count: int) -> list[Any]:
    return [stack.pop() for _ in range(count)][::-1]


def _set(target: Any, key: Any, value: Any) -> None:
    # To hash a tuple of tuples may take for ever, or more stack than there is.
    if not isinstance(target, dict) or not isinstance(key, str | int | float):
        raise UserError(f"puts a {kind(key)} as a key into a {kind(target)}; {_NOT_RUN}")
    target[key] = value


def _look_up(module: Any, name: Any) -> Any:
    if not isinstance(module, str) or not isinstance(name, str):
        raise UserError(f"asks for a {kind(name)} in a {kind(module)}; {_NOT_RUN}")
    if (module, name) not in _GLOBALS:
        raise UserError(f"asks for {shown(f'{module}.{name}')}, which is not read here; {_NOT_RUN}")
    return _GLOBALS[module, name]


def _storage(identity: Any, storages: dict[str, Storage]) -> Storage:
    match identity:
        # What the older format may add at the end is a part of the storage, None for the whole.
        case ("storage", np.dtype() as dtype, str() as key, _, int() as length, *part) if part in ([], [None]):
            storage = Storage(key, dtype, length)
            if length >= 0 and storages.setdefault(key, storage) == storage:
                return storage
    raise UserError(f"keeps a tensor elsewhere than in a whole storage of one dtype; {_NOT_RUN}")


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, grad: Any = False, hooks: Any = None, flags: Any = None
) -> Tensor:
    return _typed_tensor(storage, offset, shape, strides, grad, hooks, getattr(storage, "dtype", None), flags)


def _typed_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, _grad: Any, _hooks: Any, dtype: Any, flags: Any = None
) -> Tensor:
    if flags:
        raise UserError("holds a conjugate or negative view; save tensors after resolve_conj() and resolve_neg()")
    return Tensor(storage, offset, shape, strides, dtype)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _ordered_dict(pairs: Any = None) -> OrderedDict[Any, Any]:
    ordered: OrderedDict[Any, Any] = OrderedDict()
    if pairs is not None:  # Python 2 wrote [[key, value], …]
        for key, value in pairs:
            _set(ordered, key, value)
        pairs.clear()  # or a short file could have them copied without end
    return ordered


# All that a pickle may name, and what it gets. `_rebuild_tensor` and `Parameter` were written until PyTorch 0.3.
_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch.nn.parameter", "Parameter"): _parameter,
    ("torch.storage", "UntypedStorage"): np.dtype(np.uint8),
    **{("torch", name): np.dtype(dtype) for name, (dtype, _) in _DTYPES.items()},
    **{("torch", storage): np.dtype(dtype) for dtype, storage in _DTYPES.values() if storage},
}

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING"}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
