"""Arrays of numbers equal those that SciPy reads. A damaged or hostile file is refused and ends no process."""

import random
import struct
import zlib

import numpy as np
import pytest
import scipy.io

from baselines.interface.errors import UserError
from benchmarks.data import matlab
from benchmarks.data.matlab import read_matlab

VALUES = np.array([[1, 2, 255], [0, 7, 128]])


@pytest.fixture
def written(tmp_path):
    def write(values, **options):
        scipy.io.savemat(tmp_path / "a.mat", {"other": np.zeros(3), "ls_set": values, "text": "names"}, **options)
        return tmp_path / "a.mat"

    return write


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_numbers_of_every_type(written, kind, compressed):
    file = written(VALUES.astype(kind), do_compression=compressed)
    assert np.array_equal(read_matlab(file, "ls_set"), scipy.io.loadmat(file)["ls_set"])
    assert read_matlab(file, "ls_set").dtype == np.int64


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (0, 3), (2, 3, 4)])
def test_arrays_of_every_shape(written, shape):
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 3
    assert np.array_equal(read_matlab(written(values), "ls_set"), values)


def test_big_endian_file(tmp_path):
    def element(kind, content):
        return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    numbers = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 1, 2))
    numbers += element(1, b"ls_set") + element(9, struct.pack(">dd", 3, 4))
    (tmp_path / "b.mat").write_bytes(bytes(124) + b"\x01\x00MI" + element(14, numbers))
    assert read_matlab(tmp_path / "b.mat", "ls_set").tolist() == [[3, 4]]


def test_official_files(shared):
    for file in (*shared("mars-info").glob("*.mat"), *shared("ilids-vid").glob("*.mat")):
        for name, values in scipy.io.loadmat(file).items():
            if not name.startswith("__"):
                assert np.array_equal(read_matlab(file, name), values)


@pytest.mark.parametrize("value", [1.5, np.nan, np.inf, 1e300, -(2.0**63) * 2])
def test_other_than_whole_numbers_are_refused(written, value):
    with pytest.raises(UserError, match=r"a\.mat: ls_set does not hold whole numbers"):
        read_matlab(written(np.array([1.0, value])), "ls_set")


@pytest.mark.parametrize("values", ["text", {"a": 1}, np.array([1, "a"], object), np.array([1j])])
def test_other_than_numbers_are_refused(written, values):
    with pytest.raises(UserError, match=r"a\.mat: ls_set is not an array of numbers"):
        read_matlab(written(values), "ls_set")


def test_missing_variable_is_refused(written):
    with pytest.raises(UserError, match=r"a\.mat: has no variable 'query_IDX'"):
        read_matlab(written(VALUES), "query_IDX")


def test_file_that_crashes_scipy_is_refused(tmp_path):
    file = tmp_path / "a.mat"
    scipy.io.savemat(file, {"ls_set": np.arange(40, dtype=np.uint16).reshape(4, 10)})
    content = bytearray(file.read_bytes())
    content[185] = 1  # the type of the numbers; with SciPy 1.17.1 the process ends with SIGSEGV
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.mat: not a readable MATLAB file \(numbers of an unknown type"):
        read_matlab(file, "ls_set")


def test_small_file_of_a_huge_array_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab, "LARGEST", 2**20)
    packed = zlib.compress(bytes(2**24))
    (tmp_path / "a.mat").write_bytes(bytes(126) + b"IM" + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(UserError, match="an array of more than 1,048,576 bytes"):
        read_matlab(tmp_path / "a.mat", "ls_set")


def test_compressed_array_without_its_checksum_is_refused(written):
    plain = written(VALUES.astype("u1")).read_bytes()[128:]
    packed = bytearray(zlib.compress(plain, 0))  # as it is, then a checksum of 4 bytes
    for sound in (True, False):
        file = written(VALUES)
        file.write_bytes(bytes(126) + b"IM" + struct.pack("<II", 15, len(packed)) + packed)
        if sound:
            assert np.array_equal(read_matlab(file, "ls_set"), VALUES)
            packed[packed.index(128)] = 129
            del packed[-4:]
    with pytest.raises(UserError, match="a compressed array is cut short"):
        read_matlab(file, "ls_set")


@pytest.mark.parametrize("content", [b"", b"text", bytes(128), bytes(126) + b"IM\x0e"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.mat: (not a readable MATLAB file|has no variable)"):
        read_matlab(tmp_path / "a.mat", "ls_set")


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_files_give_an_array_or_an_error(written, compressed):
    file = written(VALUES, do_compression=compressed)
    sound, rng = file.read_bytes(), random.Random(0)
    for _ in range(400):
        content = bytearray(sound)
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(124, len(content))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        file.write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])
        try:
            assert read_matlab(file, "ls_set").dtype == np.int64
        except UserError as error:
            assert str(error).startswith(f"{file}: ")  # noqa: PT017 - either is right
