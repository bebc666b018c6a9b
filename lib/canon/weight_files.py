"""Weight files: safetensors, and the state dicts of PyTorch, read without PyTorch and without running what is in them.

Safetensors is described at https://huggingface.co/docs/safetensors. Of PyTorch's both formats are read, the zip archive
and the one from before PyTorch 1.6. A file can neither call anything (see `torch_pickle`) nor ask for much more memory
than its own size.
"""

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from canon import files
from canon.errors import UserError
from canon.torch_pickle import SAVE_STATE_DICT, Storage, Tensor, interpret, kind, shown


def read(path: Path | str) -> dict[str, np.ndarray]:
    """The arrays of the weight file at `path`, by name, in the file's order.

    The content says which format it is, not the suffix. A PyTorch checkpoint may hold its state dict under
    `state_dict` or `model`; the prefix `module.` of `DataParallel` is taken off where every name has it. The arrays
    are C-contiguous, writable and own their memory.

    Raises:
      UserError: there is no such file, it is of neither format, it is damaged, or it holds something else than arrays.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise UserError(f"{'is not a file' if path.exists() else 'does not exist'}; give the path of a weight file")
        content = path.read_bytes()
        if not content:
            raise UserError(f"is empty; {_AGAIN}")
        if content[8:9] == b"{":  # after the header's length, the header
            return _read_safetensors(content)
        if content.startswith(b"PK\3\4"):
            return _read_zip(content)
        if content.startswith(b"\x80"):  # a pickle begins with its protocol
            return _read_legacy(content)
        raise UserError("is neither a safetensors file nor one of torch.save; look at what was downloaded")
    except UserError as error:
        raise UserError(f"{path} {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error})") from error
    except Exception as error:  # zipfile, pickletools and safetensors raise whatever they come across
        reason = f"{type(error).__name__}: {shown(error)}"
        raise UserError(f"{path} is damaged or cut short ({reason}); {_AGAIN}") from error


def write(path: Path | str, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes `tensors` to `path` as safetensors, whole or not at all; `read` gives them back in the same order.

    Raises:
      UserError: a name or a dtype has no place in the format, or `path` cannot be written.
    """
    arrays = {}
    for name, value in tensors.items():
        array = np.asarray(value)
        if not isinstance(name, str) or name == _METADATA or name.encode(errors="ignore").decode() != name:
            raise UserError(f"{path} cannot hold a tensor called {name!r}; give it another name")
        dtype = next((dtype for dtype in _DTYPES.values() if dtype.name == array.dtype.name), None)
        if dtype is None:
            raise UserError(f"{path} cannot hold {name!r}, whose dtype is {array.dtype}; cast it first")
        arrays[name] = array.astype(dtype, order="C", copy=False)
    content = safetensors.numpy.save(arrays)
    # The library sorts by dtype and name. The data has to stay so, to be aligned; the header can keep the given order.
    end = _header_end(content)
    entries = json.loads(content[8:end])
    header = json.dumps({name: entries[name] for name in arrays}, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    try:
        files.write(Path(path), b"".join([len(header).to_bytes(8, "little"), header, memoryview(content)[end:]]))
    except (OSError, ValueError) as error:  # ValueError: the path has no name, or a null byte in it
        raise UserError(f"{path} cannot be written ({getattr(error, 'strerror', None) or error})") from error


_DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U64": np.dtype(np.uint64),
    "U32": np.dtype(np.uint32),
    "U16": np.dtype(np.uint16),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
_METADATA = "__metadata__"  # where safetensors keeps strings

# What a file may ask for at most. (Tied weights are kept once and named often.)
_MOST_TIMES_ITS_SIZE = 16
_MOST_ENTRIES = 2**17
_MOST_DIMENSIONS = 64  # NumPy's own limit

_AGAIN = "download or save it again"


def _header_end(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def _read_safetensors(content: bytes) -> dict[str, np.ndarray]:
    found = dict(safetensors.deserialize(content))
    arrays = {}
    for name in json.loads(content[8 : _header_end(content)]):  # which the library has checked, and put out of order
        if name != _METADATA:
            entry = found.pop(name)
            if entry["dtype"] not in _DTYPES:
                raise UserError(f"holds '{shown(name)}' as {entry['dtype']}, which is not read; cast it first")
            arrays[name] = np.ndarray(entry["shape"], _DTYPES[entry["dtype"]], entry["data"]).copy()
    return arrays


def _read_zip(content: bytes) -> dict[str, np.ndarray]:
    """The format since PyTorch 1.6: NAME/data.pkl, NAME/byteorder and, for each storage, NAME/data/KEY."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    infos = archive.infolist()
    entries = {info.filename: info for info in infos}
    if len(infos) > _MOST_ENTRIES or len(infos) > len(entries):
        raise UserError(f"has {len(infos)} entries, too many or two of one name; {SAVE_STATE_DICT}")
    sizes = [info.file_size for info in infos]
    if max(sizes, default=0) > len(content) or sum(sizes) > _MOST_TIMES_ITS_SIZE * len(content):
        raise UserError(f"would expand to {sum(sizes)} bytes, much more than its size; {SAVE_STATE_DICT}")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise UserError(f"is compressed as torch.save never does; {SAVE_STATE_DICT}")
    if any(name.endswith("/constants.pkl") for name in entries):
        raise UserError("is a TorchScript archive; open it with torch.jit.load and save its state_dict()")
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise UserError("is a zip archive, but not one of torch.save; look at what was downloaded")
    folder = pickles[0].removesuffix("data.pkl")
    order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise UserError(f"has a byte order that is neither little nor big; {_AGAIN}")
    storages: dict[str, Storage] = {}
    tensors = _state_dict(interpret(io.BytesIO(archive.read(pickles[0])), storages))
    data = {}
    for key, storage in storages.items():
        info = entries.get(f"{folder}data/{key}")
        if info is None or info.file_size != storage.length * storage.dtype.itemsize:
            raise UserError(f"has no storage '{shown(key)}' of the length that it says; {_AGAIN}")
        data[key] = archive.read(info)
        if order == b"big":
            data[key] = np.frombuffer(data[key], np.uint8).reshape(-1, storage.dtype.itemsize)[:, ::-1].tobytes()
    return _arrays(tensors, data, len(content))


def _read_legacy(content: bytes) -> dict[str, np.ndarray]:
    """The format before PyTorch 1.6: five pickles in a row, then each storage's length in int64 and its elements."""
    stream = io.BytesIO(content)
    if interpret(stream, {}) != 0x1950A86A20F9469CFC6C or interpret(stream, {}) != 1001:
        raise UserError(f"is a pickle, but not one of torch.save; {SAVE_STATE_DICT}")
    interpret(stream, {})  # about the machine that wrote it: the storages are little-endian whatever it says
    storages: dict[str, Storage] = {}
    tensors = _state_dict(interpret(stream, storages))
    keys = interpret(stream, {})
    if type(keys) is not list or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise UserError(f"lists other storages than its tensors are in; {_AGAIN}")
    data, start = {}, stream.tell()
    for key in keys:
        length, start = int.from_bytes(content[start : start + 8], "little"), start + 8
        if length != storages[key].length:
            raise UserError(f"has no storage '{shown(key)}' of the length that it says; {_AGAIN}")
        end = start + length * storages[key].dtype.itemsize
        data[key], start = memoryview(content)[start:end], end
    if start != len(content):
        raise UserError(f"is cut short, or goes on after its last storage; {_AGAIN}")
    return _arrays(tensors, data, len(content))


def _state_dict(saved: Any) -> dict[str, Tensor]:
    if isinstance(saved, dict):
        saved = next((saved[key] for key in ("state_dict", "model") if isinstance(saved.get(key), dict)), saved)
    if not isinstance(saved, dict):
        raise UserError(f"holds a {kind(saved)}, not a state dict; {SAVE_STATE_DICT}")
    for key, value in saved.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UserError(f"holds a {kind(value)} under '{shown(key)}', not a tensor; {SAVE_STATE_DICT}")
    prefix = "module." if all(name.startswith("module.") for name in saved) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in saved.items()}


def _arrays(tensors: dict[str, Tensor], data: Mapping[str, Any], file_size: int) -> dict[str, np.ndarray]:
    for name, tensor in tensors.items():
        _check(shown(name), tensor)
    size = sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor in tensors.values())
    if size > _MOST_TIMES_ITS_SIZE * file_size + 2**20:
        raise UserError(f"would expand to {size} bytes, much more than its size; save a clone() of each tensor")
    arrays = {}
    for name, (storage, offset, shape, strides, dtype) in tensors.items():
        if 0 in shape:  # such a view may begin anywhere
            arrays[name] = np.empty(shape, dtype)
        else:
            steps = [stride * dtype.itemsize for stride in strides]
            arrays[name] = np.ndarray(shape, dtype, data[storage.key], offset * dtype.itemsize, steps).copy()
    return arrays


def _check(name: str, tensor: Tensor) -> None:
    storage, offset, shape, strides, dtype = tensor
    if not (isinstance(storage, Storage) and isinstance(dtype, np.dtype) and type(shape) is type(strides) is tuple):
        raise UserError(f"holds '{name}', which is no tensor; {_AGAIN}")
    numbers = (offset, *shape, *strides)
    if not len(shape) == len(strides) <= _MOST_DIMENSIONS or any(type(n) is not int or n < 0 for n in numbers):
        raise UserError(f"holds '{name}' with an impossible shape, stride or offset; {_AGAIN}")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 not in shape and (last + 1) * dtype.itemsize > storage.length * storage.dtype.itemsize:
        raise UserError(f"holds '{name}', which reaches outside its storage; {_AGAIN}")
