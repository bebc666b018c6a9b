"""Weight files made by hand: arrays of every dtype, and the words of a pickle, to write what no library would."""

import json
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from canon import weight_files
from canon.errors import UserError

NO_TORCH = "PyTorch, the oracle, is not installed"
FLOATS = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]
INTEGERS = [np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32, np.uint16, np.uint8]
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name != "__metadata__")


@st.composite
def arrays(draw):
    """Any bits in any dtype: every NaN, and shapes without a dimension or without an element."""
    dtype = np.dtype(draw(st.sampled_from([*FLOATS, *INTEGERS, np.bool_])))
    shape = draw(array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    content = draw(st.binary(min_size=size, max_size=size))
    if dtype == np.bool_:
        content = bytes(byte % 2 for byte in content)
    return np.frombuffer(content, dtype).reshape(shape)


def to_torch(array):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    flat = torch.zeros(array.size, dtype=getattr(torch, array.dtype.name))
    if array.size:
        flat.view(torch.uint8)[:] = torch.frombuffer(bytearray(array.tobytes()), dtype=torch.uint8)
    return flat.reshape(array.shape)


def to_numpy(tensor):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    dtype = np.dtype(getattr(ml_dtypes, str(tensor.dtype).removeprefix("torch."), None) or str(tensor.dtype)[6:])
    flat = tensor.detach().contiguous().reshape(-1)
    return np.frombuffer(bytes(flat.view(torch.uint8).tolist()), dtype).reshape(tensor.shape)


def torch_file(path, value, zipped):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
        assert type(found[name]) is np.ndarray
        assert found[name].flags.owndata
        assert found[name].flags.writeable
        assert found[name].flags.c_contiguous


def literal(value):
    return pickle.dumps(value, 2)[2:-1]


def name_of(module, name):
    return f"c{module}\n{name}\n".encode()


def storage(key="0", kind="FloatStorage", length=6):
    return b"(" + literal("storage") + name_of("torch", kind) + literal(key) + literal("cpu") + literal(length) + b"tQ"


def tensor(offset=0, shape=(2, 3), strides=(3, 1), kept=None, flags=None):
    parts = [kept or storage(), *(literal(part) for part in (offset, shape, strides, False, None, flags))]
    return name_of("torch._utils", "_rebuild_tensor_v2") + b"(" + b"".join(parts) + b"tR"


def state_dict(**values):
    return b"}" + b"".join(literal(name) + value + b"s" for name, value in values.items())


SIX = np.arange(6, dtype=np.float32)


def zip_file(path, described, entries=None, protocol=2, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("weights/data.pkl", b"\x80%c" % protocol + described + b".")
        for name, content in ({"data/0": SIX.tobytes()} if entries is None else entries).items():
            archive.writestr(f"weights/{name}", content)
    return path


def legacy_file(path, described, keys=("0",), lengths=(6,), rest=b""):
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    content = magic + b"\x80\x02" + described + b"." + pickle.dumps(list(keys), 2)
    path.write_bytes(content + b"".join(struct.pack("<q", n) + SIX.tobytes() for n in lengths) + rest)
    return path


def header(entries, data=b""):
    content = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return len(content).to_bytes(8, "little") + content + data


def refused(path, *words):
    """The one line that a bad file gets, which names the file."""
    with pytest.raises(UserError) as caught:
        weight_files.read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    for word in words:
        assert word in message
    return message


def assert_arrays_or_one_line(path):
    try:
        found = weight_files.read(path)
    except UserError:
        refused(path)
    else:
        assert all(type(array) is np.ndarray for array in found.values())


# What is written comes back.
