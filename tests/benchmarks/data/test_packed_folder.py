"""A flipped bit in the files of a packed data set is found before it reaches a result."""

import json
import random
import shutil

import numpy as np
import pyarrow as pa
import pytest

from baselines.interface.errors import UserError
from benchmarks.data import IMPORT_NOTE, loading
from benchmarks.data.export_layouts import export
from benchmarks.data.find import find_dataset
from benchmarks.data.frame_stores import PACK, PackedStore, checksums_file, write_pack
from benchmarks.data.packed_folder import DIGEST_FILE, pack_digest, write_packed
from benchmarks.data.table import TABLE, make_table

FRAMES = {f"{n // 5}/{n}.jpg": random.Random(n).randbytes(40) for n in range(30)}
DIGESTS = {  # of records in results/measured
    "walkers:tiny": "9b8bcc2345a1fa98ace7893d82c0218025a651f2667e3f4f7dcb046f8a6ba8df",
    "walkers-gait:tiny": "57834134db95dc341f5a7e3e8ba0f97abcef9e12e3505accca6f815a6d497fab",
}


def flip(file, bit):
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """walkers:tiny in a cache of its own."""
    cache = loading.load("walkers:tiny").root
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(cache, tmp_path / "cache/drawn" / cache.name)


def test_no_flipped_bit_of_a_pack_passes(tmp_path):
    write_pack(tmp_path / PACK, FRAMES.items())
    sound = (tmp_path / PACK).read_bytes()
    refused = 0
    for bit in random.Random(0).sample(range(8 * len(sound)), 150):
        (tmp_path / PACK).write_bytes(sound)
        flip(tmp_path / PACK, bit)
        for name, data in FRAMES.items():
            try:
                assert bytes(PackedStore(tmp_path / PACK).read(name)) == data
            except UserError as error:
                assert str(tmp_path) in str(error)  # noqa: PT017 - either is right
                refused += 1
                break
    assert refused > 50


def test_flipped_bit_of_the_checksums_is_refused(tmp_path):
    write_pack(tmp_path / PACK, FRAMES.items())
    flip(checksums_file(tmp_path / PACK), 7 * 32)  # of row 7
    store = PackedStore(tmp_path / PACK)
    assert bytes(store.read("1/6.jpg")) == FRAMES["1/6.jpg"]
    with pytest.raises(UserError, match=rf"{PACK}: missing or damaged .*frame '1/7.jpg' is wrong\); delete {tmp_path}"):
        store.read("1/7.jpg")
    checksums_file(tmp_path / PACK).write_bytes(b"1234")
    with pytest.raises(UserError, match="1 checksums for 30 frames"):
        PackedStore(tmp_path / PACK)


def test_frame_cannot_pass_for_another(tmp_path):
    write_pack(tmp_path / PACK, FRAMES.items())
    place = (tmp_path / PACK).read_bytes().index(b"0/1.jpg") + 2
    flip(tmp_path / PACK, 8 * place + 1)  # 0/1.jpg becomes 0/3.jpg, and comes before it
    with pytest.raises(UserError, match=r"the checksum of frame '0/3\.jpg' is wrong"):
        PackedStore(tmp_path / PACK).read("0/3.jpg")


def test_damaged_part_of_several_is_named(tmp_path):
    items = list(FRAMES.items())
    write_pack(tmp_path / "0000.arrow", items[:10])
    write_pack(tmp_path / "0001.arrow", items[10:])
    flip(checksums_file(tmp_path / "0001.arrow"), 0)
    with pytest.raises(UserError, match=r"0001\.arrow: "):
        PackedStore(tmp_path / "0000.arrow", tmp_path / "0001.arrow").read(items[10][0])


@pytest.mark.parametrize("file", [PACK, TABLE])
def test_run_on_a_flipped_bit_is_refused(bench, drawn, file):
    bits = 8 * (drawn / file).stat().st_size
    flip(drawn / file, bits // 2)
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--recipe", "small", "--epochs", "1")
    assert answer.status == 2
    assert f"{drawn / file}: missing or damaged" in answer.err.splitlines()[-1]
    assert f"delete {drawn} and create it again" in answer.err.splitlines()[-1]
    assert "train: " not in answer.err


def test_verify_refuses_a_wrong_split(bench, drawn):
    assert drawn.exists()
    answer = bench("data", "verify", "walkers:tiny", "--split", 9)
    assert (answer.status, "--split 9" in answer.err) == (2, True)


def flip_in_frame(folder, row):
    """A bit in the middle of the frame in a row of the pack."""
    frame = pa.ipc.open_file(folder / PACK).read_all().column("data")[row].as_py()
    place = (folder / PACK).read_bytes().index(frame) + len(frame) // 2
    flip(folder / PACK, 8 * place)


def test_verify_checks_frames_where_the_table_is_damaged(bench, drawn):
    flip(drawn / TABLE, 0)
    flip_in_frame(drawn, 7)
    answer = bench("data", "verify", "walkers:tiny")
    assert answer.status == 1
    assert str(drawn / TABLE) in answer.out
    assert "the checksum of frame" in answer.out
    assert answer.out.splitlines()[-1] == "walkers:tiny: 2 findings"


def test_verify_lists_every_flipped_frame(bench, drawn):
    assert bench("data", "verify", "walkers:tiny").status == 0
    for row in (3, 200, 577):
        flip_in_frame(drawn, row)
    answer = bench("data", "verify", "walkers:tiny")
    lines = [line for line in answer.out.splitlines() if line.startswith(str(drawn))]
    assert answer.status == 1
    assert sum("the checksum of frame" in line for line in lines) == 3
    assert any("differs from the digest that was stored with it" in line for line in lines)
    assert answer.out.splitlines()[-1] == "walkers:tiny: 4 findings"


def without_checksums(folder):
    """The folder as older versions wrote it."""
    checksums_file(folder / PACK).unlink()
    note = json.loads((folder / DIGEST_FILE).read_text())
    (folder / DIGEST_FILE).write_text(json.dumps({"digest": note["digest"]}))


def test_older_folder_keeps_its_digest_and_gets_checksums(drawn):
    before = {file.name: file.read_bytes() for file in drawn.iterdir()}
    without_checksums(drawn)
    assert loading.load("walkers:tiny").digest == DIGESTS["walkers:tiny"]
    assert {file.name: file.read_bytes() for file in drawn.iterdir()} == before


@pytest.mark.parametrize("file", [PACK, TABLE])
def test_damaged_older_folder_is_refused(drawn, file):
    without_checksums(drawn)
    if file == PACK:
        flip(drawn / PACK, 4 * (drawn / PACK).stat().st_size)
    else:
        table = loading.tables.read_table(drawn / TABLE)
        table.assign(frames=[list(frames) for frames in table.frames], camid=table.camid[::-1].array).to_parquet(
            drawn / TABLE
        )
    with pytest.raises(UserError, match=f"differs from the digest in data.json.*delete {drawn} and create it again"):
        loading.load("walkers:tiny")


@pytest.mark.parametrize("name", DIGESTS)
def test_digest_of_measured_records(name):
    assert loading.load(name).digest == DIGESTS[name]


def test_flipped_bit_of_an_index_is_repaired(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "mars"
    export(loading.load("walkers:tiny"), "mars", root)
    before = loading.load("mars", root=root)
    (index,) = (tmp_path / "cache/index").glob("*.parquet")
    sound = index.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(sound)), 6):
        flip(index, bit)
        again = loading.load("mars", root=root)
        assert again.digest == before.digest
        assert again.table.to_dict("records") == before.table.to_dict("records")
        assert index.read_bytes() == sound


def test_pack_without_checksums_is_written_again(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    export(loading.load("walkers:tiny"), "mars", tmp_path / "mars")
    folder = loading.pack("mars", tmp_path / "mars")
    (checksums,) = folder.glob("*.crc32")
    checksums.unlink()
    assert not isinstance(loading.load("mars", root=tmp_path / "mars").store, PackedStore)
    loading.pack("mars", tmp_path / "mars")
    assert isinstance(loading.load("mars", root=tmp_path / "mars").store, PackedStore)


def test_verify_compares_a_pack_with_its_folder(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "mars"
    export(loading.load("walkers:tiny"), "mars", root)
    folder = loading.pack("mars", root)
    names = [name for frames in loading.load("mars", root=root).table.frames for name in frames]
    flip(folder / "0000.arrow", 4 * (folder / "0000.arrow").stat().st_size)
    flip(root / names[0], 8 * 15)  # the density of the pixels, which no decoder uses
    lines = bench("data", "verify", "mars", "--root", root).out.splitlines()
    assert sum(line.startswith(f"{folder}/{names[0]}: differs from the image file") for line in lines) == 1
    assert sum(line.startswith(f"{folder}/") for line in lines) == 2


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (["a/1.jpg", "a/2.jpg"], "frame 'b/1.jpg': in the table of tracklets, but there is no such image"),
        (["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"], "frame 'b/2.jpg': written twice, or in no tracklet"),
        (["a/1.jpg", "a/1.jpg"], "frame 'a/1.jpg': written twice, or in no tracklet"),
    ],
)
def test_table_and_pack_hold_the_same_frames(tmp_path, frames, said):
    table = make_table([("train", 1, 1, "a", ["a/1.jpg", "a/2.jpg"]), ("train", 2, 1, "b", ["b/1.jpg"])])
    with pytest.raises(UserError, match=said):
        write_packed(tmp_path, table, ((frame, b"1") for frame in frames))


def test_missing_files_are_named(tmp_path):
    make_table([("train", 1, 1, "a", ["a/1.jpg"])]).to_parquet(tmp_path / TABLE)
    with pytest.raises(UserError, match=rf"{PACK}: missing or damaged"):
        pack_digest(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"digest": 7}', "[1]", "\udcff"])
def test_hostile_notes_are_refused_or_made_again(drawn, text, tmp_path):
    digest = loading.load("walkers:tiny").digest
    (drawn / DIGEST_FILE).write_bytes(text.encode(errors="surrogateescape"))
    assert loading.load("walkers:tiny").digest == digest
    note = tmp_path / "cache/imported/mine" / IMPORT_NOTE
    note.parent.mkdir(parents=True)
    note.write_bytes(text.encode(errors="surrogateescape"))
    if text != '{"digest": 7}':
        with pytest.raises(UserError, match=rf"{note}: damaged"):
            find_dataset("mine")


def test_note_of_another_type_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    note = tmp_path / "imported/mine" / IMPORT_NOTE
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"splits": "3"}))
    with pytest.raises(UserError, match=r"import\.json: damaged \(splits is not of type int\)"):
        loading.load("mine")


def test_whole_numbers_of_the_table(tmp_path):
    for number in (10**24, 1e300, 1.0, "1", None):
        with pytest.raises(ValueError, match=r"tracklet a: .* is not a whole number below 2\^63"):
            make_table([("train", number, 1, "a", ["a/1.jpg"])])
    assert make_table([("train", np.int32(7), 2**63 - 1, "a", ["a/1.jpg"])]).camid.tolist() == [2**63 - 1]
