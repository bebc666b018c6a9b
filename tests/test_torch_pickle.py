"""A pickle gets nothing run, and takes neither time nor memory without bounds."""

import io
import os
import pickle
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.weight_builders import (
    assert_arrays_or_one_line,
    legacy_file,
    literal,
    name_of,
    refused,
    state_dict,
    storage,
    tensor,
    zip_file,
)

from canon import torch_pickle, weight_files


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_payload_of_a_hostile_pickle_does_not_run(tmp_path, protocol):
    proof, path = tmp_path / "proof", tmp_path / "x"
    hostile = pickle.dumps({"a": Payload(proof)}, protocol)
    path.write_bytes(hostile)
    refused(path, "posix.system", "nothing of it was run")
    refused(zip_file(path, hostile[2:-1], protocol=protocol), "posix.system", "nothing of it was run")
    refused(legacy_file(path, hostile[2:-1]), "posix.system", "nothing of it was run")
    assert not proof.exists()
    pickle.loads(hostile)
    assert proof.exists()


ORDERED = name_of("collections", "OrderedDict")
STACK_GLOBAL = b"\x93"


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (name_of("builtins", "eval") + literal("1") + b"\x85R", "asks for builtins.eval"),
        (name_of("os", "system"), "asks for os.system"),
        (name_of("__main__", "Net") + b")\x81", "asks for __main__.Net, which is not read here"),
        (name_of("torch.nn.modules.linear", "Linear") + b")\x81", "if it is a whole model"),
        (name_of("torch", "ComplexFloatStorage"), "asks for torch.ComplexFloatStorage"),
        (name_of("torch.storage", "_load_from_bytes"), "asks for torch.storage._load_from_bytes"),
        (name_of("numpy.core.multiarray", "scalar"), "asks for numpy.core.multiarray.scalar"),
        (literal("torch") + literal("storage.os.system") + STACK_GLOBAL, "asks for torch.storage.os.system"),
        (literal("collections") + literal("OrderedDict.fromkeys") + STACK_GLOBAL, "OrderedDict.fromkeys"),
        (literal("os\x1b[2J\nx") + literal("y" * 1000) + STACK_GLOBAL, "asks for os?[2J?x.yyy"),
        (literal(("torch",)) + literal("FloatStorage") + STACK_GLOBAL, "asks for a value of type str in a"),
        (literal("open") + literal(("x", "w")) + b"R", "calls a value of type str"),
        (name_of("torch", "FloatStorage") + b")R", "calls a value of type Float32DType"),
        (ORDERED + b"(" + b"K\1" * 9 + b"tR", "calls a value of type function"),
        (ORDERED + literal([]) + b"R", "calls a value of type function"),
        (literal({}) + literal({"__class__": 1}) + b"b", "sets the state of a value of type dict"),
        (ORDERED + literal({"__code__": 1}) + b"b", "sets the state of a value of type function"),
        (tensor() + literal((1, 2, 3, 4, 5)) + b"b", "sets the state of a value of type Tensor"),
        (ORDERED + b")\x81", "has the opcode NEWOBJ"),
        (ORDERED + b")}\x92", "has the opcode NEWOBJ_EX"),
        (b"(ios\nsystem\n", "has the opcode INST"),
        (b"(" + ORDERED + b"o", "has the opcode OBJ"),
        (b"\x82\x01", "has the opcode EXT1"),
        (b"Pstorage\n", "has the opcode PERSID"),
        (b"\x96" + struct.pack("<Q", 2) + b"ab", "has the opcode BYTEARRAY8"),
        (b"\x8f", "has the opcode EMPTY_SET"),
        (literal({}) + literal((1, 2)) + b"Ns", "puts a value of type tuple as a key into a value of type dict"),
        (literal([]) + literal("a") + b"Ns", "puts a value of type str as a key into a value of type list"),
        (ORDERED + b"](](" + literal((1, 2)) + b"Nee\x85R", "key into a value of type OrderedDict"),
        (literal({}) + b"Na", "appends to a value of type dict"),
        (literal("0") + b"Q", "keeps a tensor elsewhere"),
        (literal(("storage", "FloatStorage", "0", "cpu", 6)) + b"Q", "keeps a tensor elsewhere"),
        (literal(("module", "Net", "net.py", "import os")) + b"Q", "keeps a tensor elsewhere"),
        (storage(length=-6), "keeps a tensor elsewhere"),
        (storage() + storage(kind="IntStorage") + b"\x86", "keeps a tensor elsewhere"),
        (storage()[:-2] + literal(("1", 0, 3)) + b"tQ", "keeps a tensor elsewhere"),
    ],
)
def test_what_no_state_dict_needs_is_refused_by_name(tmp_path, described, words):
    refused(zip_file(tmp_path / "x", described), words)
    refused(legacy_file(tmp_path / "x", described), words)


@pytest.mark.parametrize(
    "described",
    [
        b"}" + b")" + b"\x85" * 200_000 + b"Ns",  # a key whose hash overflows the stack of C
        b"}" + b")" + b"q\0h\0\x86" * 200 + b"Ns",  # a key whose hash takes for ever
        b"}" + literal("a") + b"]" * 100_000 + b"a" * 99_999 + b"s",  # a value that is too deep to print
        b"(" * 50_000,
        b"R" * 3,
        b"Nr\xff\xff\xff\x7f0",  # a place in the memo that would take gigabytes
        b"\x8d" + struct.pack("<Q", 2**62),  # a string of so many bytes
        b"\x8e" + struct.pack("<Q", 2**62),
        b"\x95" + struct.pack("<Q", 2**62) + b"Nj\xff\xff\xff\xff",
        b"\x8b" + struct.pack("<i", 2**31 - 1),
        b"I" + b"9" * 10_000 + b"\n",
    ],
)
def test_a_pickle_that_would_exhaust_the_machine_is_refused(tmp_path, described):
    refused(zip_file(tmp_path / "x", described))
    refused(legacy_file(tmp_path / "x", described))


def test_pairs_are_taken_once_however_often_they_are_named(tmp_path):
    pairs = b"](](" + literal("a") + tensor() + b"eeq\7"
    described = ORDERED + pairs + b"\x85R" + ORDERED + b"h\7\x85R\x86"
    once, again = torch_pickle.interpret(io.BytesIO(b"\x80\x02" + described + b"."), {})
    assert (list(once), list(again)) == (["a"], [])


def test_a_pickle_of_too_many_opcodes_is_refused(tmp_path, monkeypatch):
    path = zip_file(tmp_path / "x", state_dict(a=tensor()))
    assert len(weight_files.read(path)) == 1
    monkeypatch.setattr(torch_pickle, "_MOST_OPCODES", 20)
    refused(path, "more than 20 opcodes")


OPCODES = [bytes([code]) for code in range(256)] + [storage(), tensor(), ORDERED, b"K\1", literal("a"), b"q\0", b"h\0"]


@given(st.lists(st.sampled_from(OPCODES), max_size=30), st.binary(max_size=30))
@settings(max_examples=100)
def test_no_pickle_raises_anything_but_its_one_line(tmp_path_factory, words, noise):
    path = tmp_path_factory.getbasetemp() / "garbled"
    for described in (b"".join(words), noise, state_dict(a=tensor()) + b"".join(words)):
        for write in (zip_file, legacy_file):
            assert_arrays_or_one_line(write(path, described))
