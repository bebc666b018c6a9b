import os
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.weight_builders import (
    NAMES,
    NO_TORCH,
    SIX,
    arrays,
    assert_arrays_or_one_line,
    assert_same,
    header,
    legacy_file,
    literal,
    name_of,
    refused,
    state_dict,
    storage,
    tensor,
    to_numpy,
    to_torch,
    torch_file,
    zip_file,
)

from canon import weight_files
from canon.errors import UserError


@given(st.dictionaries(NAMES, arrays(), max_size=5))
@settings(max_examples=100)
def test_safetensors_come_back_bit_for_bit_and_in_order(tmp_path_factory, tensors):
    path = tmp_path_factory.getbasetemp() / "weights"
    weight_files.write(path, tensors)
    assert_same(weight_files.read(path), tensors)


@given(st.dictionaries(NAMES, arrays(), max_size=5))
@settings(max_examples=30)
def test_safetensors_of_ours_are_read_by_their_own_loader_in_torch(tmp_path_factory, tensors):
    pytest.importorskip("torch", reason=NO_TORCH)
    path = tmp_path_factory.getbasetemp() / "weights"
    weight_files.write(path, tensors)
    found = pytest.importorskip("safetensors.torch", reason=NO_TORCH).load_file(path)
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        assert (to_numpy(found[name]).dtype, found[name].shape) == (array.dtype, array.shape)
        assert to_numpy(found[name]).tobytes() == array.tobytes()


def test_safetensors_of_the_library_are_read_with_their_metadata_left_out(tmp_path):
    tensors = {"b": SIX, "a": SIX.astype(ml_dtypes.bfloat16), "c": np.array(True)}
    safetensors.numpy.save_file(tensors, tmp_path / "x", metadata={"format": "np"})
    found = weight_files.read(tmp_path / "x")
    assert_same({name: found[name] for name in tensors}, tensors)


def test_arrays_are_written_as_what_they_mean_not_as_they_lie_in_memory(tmp_path):
    grid = np.arange(12, dtype=np.float32).reshape(3, 4)
    odd = {"transposed": grid.T, "sliced": grid[::2, 1:], "backwards": grid[::-1], "big": grid.astype(">f4")}
    odd |= {"broadcast": np.broadcast_to(np.float32(3), (2, 2)), "scalar": np.float32(1.5)}
    weight_files.write(str(tmp_path / "x"), odd)
    assert_same(weight_files.read(str(tmp_path / "x")), {k: np.array(v, np.float32, order="C") for k, v in odd.items()})


@pytest.mark.parametrize("zipped", [True, False])
@given(tensors=st.dictionaries(NAMES, arrays(), max_size=5))
@settings(max_examples=30)
def test_both_formats_of_torch_come_back_bit_for_bit_and_in_order(tmp_path_factory, zipped, tensors):
    path = tmp_path_factory.getbasetemp() / "weights"
    torch_file(path, {f"x{name}": to_torch(array) for name, array in tensors.items()}, zipped)
    assert_same(weight_files.read(path), {f"x{name}": array for name, array in tensors.items()})


@pytest.mark.parametrize("zipped", [True, False])
def test_views_of_shared_storages_come_back_as_what_they_show(tmp_path, zipped):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    grid = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    tagged = torch.nn.Parameter(torch.ones(2))
    tagged.tag = "kept beside the values"
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    odd = {"z": grid.permute(2, 0, 1), "a": grid[1, ::2, 3], "last": grid[1, 2, 3], "none": grid[:, :0], "same": grid}
    odd |= {"expanded": torch.tensor([1.0, 2.0])[:, None].expand(2, 5), "channels_last": torch.rand(1, 2, 3, 4)}
    odd["channels_last"] = odd["channels_last"].to(memory_format=torch.channels_last)
    odd |= {"parameter": torch.nn.Parameter(grid[0].T), "tagged": tagged, "end": grid.flatten()[24:]}
    saved = module.state_dict()  # an OrderedDict with _metadata
    saved.update(odd)
    expected = {name: to_numpy(value) for name, value in saved.items()}
    assert_same(weight_files.read(torch_file(tmp_path / "x", saved, zipped)), expected)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickle_is_read(tmp_path, protocol):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    saved = {"a": torch.arange(3), "b": torch.ones(2, dtype=torch.uint16), "c": torch.nn.Parameter(torch.ones(()))}
    for zipped in (True, False):
        torch.save(saved, tmp_path / "x", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        assert_same(weight_files.read(tmp_path / "x"), {name: to_numpy(value) for name, value in saved.items()})


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_checkpoint_around_the_state_dict_and_the_prefix_of_data_parallel_are_taken_off(tmp_path, key):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    wrapped = {"epoch": 3, key: torch.nn.DataParallel(model).state_dict(), "optimizer": optimizer.state_dict()}
    expected = {name: to_numpy(value) for name, value in model.state_dict().items()}
    assert_same(weight_files.read(torch_file(tmp_path / "x", wrapped, zipped=False)), expected)
    assert_same(weight_files.read(torch_file(tmp_path / "x", wrapped, zipped=True)), expected)


def test_the_prefix_stays_where_one_name_lacks_it_and_in_safetensors(tmp_path):
    path = zip_file(tmp_path / "x", state_dict(**{"module.a": tensor(), "b": tensor()}))
    assert list(weight_files.read(path)) == ["module.a", "b"]
    weight_files.write(path, {"module.a": SIX})
    assert list(weight_files.read(path)) == ["module.a"]


def test_a_checkpoint_of_python_2_and_pytorch_0_1_is_read(tmp_path):
    plain = name_of("torch._utils", "_rebuild_tensor") + b"(" + storage() + literal(1) + literal((2,)) + literal((3,))
    parameter = name_of("torch.nn.parameter", "Parameter") + plain + b"tR\x85R" + literal((True, False, None)) + b"b"
    pairs = b"](](U\x01b" + parameter + b"e](U\x01a" + tensor() + b"ee"
    old = name_of("collections", "OrderedDict") + pairs + b"\x85R" + literal({"_metadata": {}}) + b"b"
    expected = {"b": SIX[1::3], "a": SIX.reshape(2, 3)}
    assert_same(weight_files.read(legacy_file(tmp_path / "x", old)), expected)


def test_an_archive_of_a_big_endian_machine_means_what_it_means_to_torch(tmp_path):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    entries = {"data/0": SIX.astype(">f4").tobytes(), "byteorder": b"big", "version": b"3"}
    path = zip_file(tmp_path / "x", state_dict(a=tensor()), entries)
    assert_same(weight_files.read(path), {"a": SIX.reshape(2, 3)})
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.arange(6.0).reshape(2, 3))


def test_a_state_dict_of_nothing_is_read_as_nothing(tmp_path):
    assert weight_files.read(zip_file(tmp_path / "x", state_dict())) == {}
    weight_files.write(tmp_path / "x", {})
    assert weight_files.read(tmp_path / "x") == {}


# What cannot be written is said, and leaves what was there.


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"__metadata__": SIX}, "__metadata__"),
        ({"\ud800": SIX}, "ud800"),
        ({3: SIX}, "called 3"),
        ({"a": np.array([None])}, "'a', whose dtype is object"),
        ({"a": np.array(["text"])}, "'a', whose dtype is <U4"),
        ({"a": SIX.astype(np.complex128)}, "'a', whose dtype is complex128"),
    ],
)
def test_what_safetensors_has_no_place_for_is_not_written(tmp_path, tensors, words):
    (tmp_path / "x").write_text("old")
    with pytest.raises(UserError, match=words):
        weight_files.write(tmp_path / "x", tensors)
    assert (tmp_path / "x").read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("place", ["missing/x", "", "nu\0ll"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    path = tmp_path / place if place else tmp_path
    with pytest.raises(UserError, match="cannot be written"):
        weight_files.write(path, {"a": SIX})
    assert os.listdir(tmp_path) == []


# What cannot be read is said in one line.


def test_a_path_that_leads_to_no_file_is_named(tmp_path, monkeypatch):
    refused(tmp_path / "missing", "does not exist")
    refused(tmp_path, "is not a file")
    refused(tmp_path / ("long" * 200), "too long")
    (tmp_path / "x").write_bytes(b"secret")

    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(weight_files.Path, "read_bytes", denied)
    refused(tmp_path / "x", "cannot be read (Permission denied)")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><title>404", b"PK\5\6" + bytes(18), b"P", bytes(9), b"{}"])
def test_a_file_that_is_neither_is_not_guessed_at(tmp_path, content):
    (tmp_path / "x").write_bytes(b"")
    refused(tmp_path / "x", "is empty")
    (tmp_path / "x").write_bytes(content)
    refused(tmp_path / "x", "is neither")


@pytest.fixture(params=["safetensors", "zip", "legacy"])
def whole_file(request, tmp_path):
    """A valid file of each format, of a few kilobytes."""
    tensors = {f"layer{i}.weight": np.arange(8 * i, dtype=np.float32).reshape(2, -1) for i in range(5)}
    if request.param == "safetensors":
        weight_files.write(tmp_path / "whole", tensors)
        return tmp_path / "whole"
    converted = {name: to_torch(array) for name, array in tensors.items()}
    return torch_file(tmp_path / "whole", converted, zipped=request.param == "zip")


def test_a_file_cut_short_anywhere_is_refused(whole_file):
    content = whole_file.read_bytes()
    cut = whole_file.with_name("cut")
    for length in [*range(0, len(content), 7), *range(len(content) - 40, len(content))]:
        cut.write_bytes(content[:length])
        refused(cut)
    cut.write_bytes(content)
    assert len(weight_files.read(cut)) == 5


def test_flipped_bytes_give_arrays_or_one_line(whole_file, random):
    content = np.frombuffer(whole_file.read_bytes(), np.uint8)
    damaged = whole_file.with_name("damaged")
    for count in [1] * 300 + [2, 5, 30] * 50:
        flipped = content.copy()
        # Most of a file is values: half of the flips go where the descriptions are.
        places = random.integers(0, random.choice([len(content), 600]), count)
        flipped[places] = random.integers(0, 256, count)
        flipped.tofile(damaged)
        assert_arrays_or_one_line(damaged)


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        header(b"{"),
        header(b'{"a":' * 2000),
        header({"a": F32}),
        header({"a": F32}, bytes(9)),
        header({"a": F32 | {"shape": [3]}}, bytes(8)),
        header({"a": F32 | {"shape": [-2]}}, bytes(8)),
        header({"a": F32 | {"shape": [2**62, 4]}}, bytes(8)),
        header({"a": F32 | {"shape": [0, 2**63 - 1], "data_offsets": [0, 0]}}),
        header({"a": F32 | {"shape": [0] * 100, "data_offsets": [0, 0]}}),
        header({"a": F32 | {"data_offsets": [8, 0]}}, bytes(8)),
        header({"a": F32, "b": F32}, bytes(8)),
        header({"a": F32 | {"data_offsets": [4, 12]}}, bytes(12)),
        header({"a": F32 | {"dtype": "F99"}}, bytes(8)),
        header({"a": F32 | {"dtype": "F8_E4M3", "shape": [8]}}, bytes(8)),
        header({"a": 3}),
        header({"__metadata__": {"a": 3}}),
        header(b'{"\xff": 1}'),
        b"\xff" * 8 + b"{}",
        (10**8).to_bytes(8, "little") + b"{}",
    ],
)
def test_a_safetensors_header_that_lies_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    refused(tmp_path / "x")


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (tensor(), "holds a value of type Tensor, not a state dict"),
        (literal([1]), "holds a value of type list, not a state dict"),
        (state_dict(a=tensor(), epoch=literal(3)), "holds a value of type int under 'epoch'"),
        (state_dict(a=tensor(), _extra_state=literal(None)), "holds a value of type NoneType under '_extra_state'"),
        (state_dict(generator=state_dict(a=tensor())), "holds a value of type dict under 'generator'"),
        (state_dict(a=storage()), "holds a value of type Storage under 'a'"),
        (b"}" + literal(3) + tensor() + b"s", "under '3'"),
        (state_dict(a=tensor(flags={"conj": True})), "resolve_conj()"),
        (state_dict(a=tensor(kept=literal("0")), b=tensor()), "'a', which is no tensor"),
        (state_dict(a=tensor(shape=[2, 3])), "'a', which is no tensor"),
        (state_dict(a=tensor(offset=1)), "'a', which reaches outside"),
        (state_dict(a=tensor(shape=(2, 4))), "'a', which reaches outside"),
        (state_dict(a=tensor(strides=(4, 1))), "'a', which reaches outside"),
        (state_dict(a=tensor(strides=(2**62, 2**62))), "'a', which reaches outside"),
        (state_dict(a=tensor(offset=-1)), "'a' with an impossible"),
        (state_dict(a=tensor(shape=(-2, -3))), "'a' with an impossible"),
        (state_dict(a=tensor(offset=5, strides=(-3, -1))), "'a' with an impossible"),
        (state_dict(a=tensor(shape=(2,))), "'a' with an impossible"),
        (state_dict(a=tensor(shape=(2, 3.0))), "'a' with an impossible"),
        (state_dict(a=tensor(shape=(1,) * 65, strides=(1,) * 65)), "'a' with an impossible"),
        (state_dict(a=tensor(shape=(2**50, 2), strides=(0, 0))), "would expand to"),
        (state_dict(**{str(i): tensor(shape=(2**16,), strides=(0,)) for i in range(8)}), "would expand to"),
        (state_dict(a=tensor(shape=(0, 2**63))), "damaged"),
        (state_dict(a=tensor(shape=(1, 1), strides=(2**62, 2**80))), "damaged"),
    ],
)
def test_what_is_no_state_dict_of_sound_tensors_is_refused(tmp_path, described, words):
    refused(zip_file(tmp_path / "x", described), words)
    refused(legacy_file(tmp_path / "x", described), words)


@given(
    offset=st.integers(-1, 7),
    dimensions=st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 7)), max_size=3),
)
@settings(max_examples=100)
@example(offset=6, dimensions=[])
@example(offset=5, dimensions=[])
def test_a_view_is_read_just_where_every_element_is_in_the_storage(tmp_path_factory, offset, dimensions):
    shape, strides = tuple(size for size, _ in dimensions), tuple(stride for _, stride in dimensions)
    path = tmp_path_factory.getbasetemp() / "view"
    zip_file(path, state_dict(a=tensor(offset, shape, strides)))
    if min((offset, *shape, *strides)) < 0:
        refused(path, "impossible")
        return
    places = np.full(shape, offset) + sum(np.indices(shape)[axis] * stride for axis, stride in enumerate(strides))
    if np.any(places >= 6):
        refused(path, "reaches outside")
    else:
        assert_same(weight_files.read(path), {"a": SIX[places] if shape else np.array(SIX[offset])})


# Archives and storages that are not what they say.

SOUND = state_dict(a=tensor())
MANY = {f"data/{i}": b"" for i in range(40)}


@pytest.mark.parametrize(
    ("entries", "options", "words"),
    [
        ({}, {}, "has no storage '0'"),
        ({"data/0": SIX[:5].tobytes()}, {}, "has no storage '0'"),
        ({"data/0": SIX.tobytes() + b"\0"}, {}, "has no storage '0'"),
        ({"data/1": SIX.tobytes()}, {}, "has no storage '0'"),
        ({"data/0": SIX.tobytes(), "byteorder": b"middle"}, {}, "byte order"),
        ({"data/0": SIX.tobytes(), "constants.pkl": b""}, {}, "is a TorchScript archive"),
        ({"data/0": bytes(2**22)}, {"compression": zipfile.ZIP_DEFLATED}, "would expand to"),
        ({"data/0": SIX.tobytes(), "data/1": bytes(3000)}, {"compression": zipfile.ZIP_DEFLATED}, "would expand to"),
        ({f"data/{i}": bytes(4000) for i in range(40)}, {"compression": zipfile.ZIP_DEFLATED}, "would expand to"),
        ({"data/0": SIX.tobytes()}, {"compression": zipfile.ZIP_LZMA}, "compressed as torch.save never does"),
        ({"data/0": SIX.tobytes()}, {"compression": zipfile.ZIP_BZIP2}, "compressed as torch.save never does"),
    ],
)
def test_an_archive_that_is_not_what_it_says_is_refused(tmp_path, entries, options, words):
    refused(zip_file(tmp_path / "x", SOUND, entries, **options), words)


def test_an_archive_of_other_things_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.txt", "")
    refused(path, "is a zip archive, but not one of torch.save")
    monkeypatch.setattr(weight_files, "_MOST_ENTRIES", 30)
    refused(zip_file(path, SOUND, MANY), "has 41 entries")
    path.write_bytes(b"PK\3\4" + bytes(30) + b"PK\5\6" + bytes(18))
    refused(path)


def test_an_archive_with_two_entries_of_one_name_is_refused(tmp_path):
    path = zip_file(tmp_path / "x", SOUND)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("weights/data.pkl", b"\x80\x02N.")
    refused(path, "two of one name")


def test_an_archive_that_was_packed_again_is_read(tmp_path):
    path = zip_file(tmp_path / "x", SOUND, compression=zipfile.ZIP_DEFLATED)
    assert_same(weight_files.read(path), {"a": SIX.reshape(2, 3)})


def test_a_scripted_module_of_torch_is_recognised(tmp_path):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "x")
    refused(tmp_path / "x", "is a TorchScript archive")


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_model_of_torch_is_recognised(tmp_path, zipped):
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    path = torch_file(tmp_path / "x", torch.nn.Linear(1, 1), zipped)
    refused(path, "asks for torch.nn.modules.linear.Linear", "if it is a whole model, save the model's state_dict()")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keys": ()}, "lists other storages"),
        ({"keys": ("0", "0")}, "lists other storages"),
        ({"keys": ("1",)}, "lists other storages"),
        ({"keys": (("0",),)}, "lists other storages"),
        ({"lengths": (5,)}, "has no storage '0' of the length"),
        ({"lengths": (-6,)}, "has no storage '0' of the length"),
        ({"lengths": ()}, "has no storage '0' of the length"),
        ({"rest": b"\0"}, "goes on after its last storage"),
    ],
)
def test_storages_of_the_older_format_that_are_not_what_they_say_are_refused(tmp_path, options, words):
    assert len(weight_files.read(legacy_file(tmp_path / "x", SOUND))) == 1
    refused(legacy_file(tmp_path / "x", SOUND, **options), words)


def test_a_plain_pickle_is_told_from_one_of_torch(tmp_path):
    (tmp_path / "x").write_bytes(pickle.dumps({"a": [1.5]}, 2))
    refused(tmp_path / "x", "is a pickle, but not one of torch.save")
