"""Nobody is in train and in the test, no frame is in two subsets, and `bench data verify` lists everything in one pass."""

import json
import struct

import cv2
import numpy as np
import pytest

from baselines.interface.errors import UserError
from benchmarks.data import loading
from benchmarks.data.dataset import StructureError
from benchmarks.data.import_images import import_images
from benchmarks.data.imported import write_import
from benchmarks.data.table import check, make_table

SOUND = [
    ("train", 1, 1, "a", ["a/1.jpg", "a/2.jpg"]),
    ("query", 2, 1, "b", ["b/1.jpg"]),
    ("gallery", 2, 2, "c", ["c/1.jpg"]),
    ("gallery", -1, 2, "d", ["d/1.jpg"]),
]


@pytest.fixture
def prid(tmp_path):
    """PRID-2011 with four persons, two frames in each camera; every split trains on the first two."""
    for camera in "ab":
        for person in range(1, 5):
            folder = tmp_path / f"prid/prid_2011/multi_shot/cam_{camera}/person_{person:04d}"
            folder.mkdir(parents=True)
            for frame in (1, 2):
                cv2.imwrite(str(folder / f"{frame:04d}.png"), np.full((8, 4, 3), 10 * person, np.uint8))
    write_splits(tmp_path / "prid", train=[1, 2], test=[3, 4])
    return tmp_path / "prid"


def write_splits(root, train, test):
    names = {"train": [f"person_{n:04d}" for n in train], "test": [f"person_{n:04d}" for n in test]}
    (root / "splits_prid2011.json").write_text(json.dumps([names] * 10))


def huge_jpeg(file):
    """A small JPEG whose header claims 65,500 x 65,500 pixels."""
    content = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 65_500, 65_500)
    file.write_bytes(content)


def huge_png(file):
    content = bytearray(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    content[16:24] = struct.pack(">II", 65_500, 65_500)
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("train", 2, 3, "e", ["e/1.jpg"]), "person 2 is in train and in query"),
        (("gallery", 1, 3, "e", ["e/1.jpg"]), "person 1 is in train and in gallery"),
        (("gallery", 2, 2, "c", ["e/1.jpg"]), "tracklet 'c' appears twice in gallery"),
        (
            ("gallery", 2, 1, "e", ["b/1.jpg"]),
            "1 of the frames of tracklet 'e' .*'b/1.jpg', are in tracklet 'b' of person 2 in query",
        ),
        (
            ("train", 3, 1, "e", ["a/1.jpg"]),
            "1 of the frames of tracklet 'e' .*'a/1.jpg', are in tracklet 'a' of person 1 in train",
        ),
        (("gallery", 4, 1, "e", ["e/1.jpg", "e/1.jpg"]), "frames of tracklet 'e' are not in the order of time"),
    ],
)
def test_contradicting_tracklets_are_refused(row, said):
    check(make_table(SOUND), "world")
    with pytest.raises(UserError, match=f"world: .*{said}"):
        check(make_table([*SOUND, row]), "world")


def test_tracklets_of_one_person_may_share_frames():
    check(make_table([*SOUND, ("gallery", 2, 2, "e", ["c/1.jpg"])]), "world")  # as boxes that overlap in time do


def test_person_in_train_and_test_is_refused_by_every_verb(bench, prid, tmp_path):
    write_splits(prid, train=[1, 2, 3, 4], test=[3, 4])
    for words in (
        ("run", "--method", "mean", "--dataset", "prid2011"),
        ("data", "stats", "prid2011"),
        ("data", "pack", "prid2011"),
        ("data", "export", "prid2011", "--layout", "mars", "--to", tmp_path / "out"),
    ):
        answer = bench(*words, "--root", prid)
        assert answer.status == 2, words
        assert "person 3 is in train and in query; a person must be in one of them" in answer.err
    lines = bench("data", "verify", "prid2011", "--root", prid).out.splitlines()
    assert [line for line in lines if "is in train and in" in line] == [
        f"{prid}: person {pid} is in train and in query; a person must be in one of them" for pid in (3, 4)
    ]


def test_person_listed_twice_is_refused(prid):
    write_splits(prid, train=[1, 2, 2], test=[3, 4])
    with pytest.raises(StructureError, match="tracklet 'person_0002C1' appears twice in train"):
        loading.load("prid2011", root=prid)


def test_data_set_may_say_that_it_overlaps(prid, monkeypatch):
    check(make_table([*SOUND, ("train", 2, 3, "e", ["e/1.jpg"])]), "world", overlapping=True)
    write_splits(prid, train=[1, 2, 3], test=[3, 4])
    monkeypatch.setattr("benchmarks.data.datasets.prid2011.Prid2011.overlapping", True)
    assert loading.load("prid2011", root=prid).table.subset.value_counts().to_dict() == {
        "train": 6,
        "query": 2,
        "gallery": 2,
    }
    with pytest.raises(
        UserError, match=r"'e' of person 3 in gallery, such as 'c/1\.jpg', are in tracklet 'c' of person 2"
    ):
        check(make_table([*SOUND, ("gallery", 3, 3, "e", ["c/1.jpg"])]), "world", overlapping=True)


def test_drawn_people_and_their_splits_do_not_overlap(bench, tmp_path):
    file = tmp_path / "plugin.py"
    file.write_text("""
import cv2, numpy as np
from dataclasses import dataclass
from baselines.interface.registry import register
from benchmarks.data.drawn import DrawnDataset
from benchmarks.data.table import make_table

@register("twins")
@dataclass(frozen=True)
class Twins(DrawnDataset):
    \"\"\"One person in train and in the test.\"\"\"

    protocols = ("standard",)
    name = "twins"

    @classmethod
    def from_name(cls, name):
        return cls()

    def another_world(self):
        return self

    def tracklets(self):
        return make_table([(s, 1, c, s, [f"{s}/1.png"]) for c, s in enumerate(("train", "query", "gallery"))])

    def draw(self, tracklet):
        yield cv2.imencode(".png", np.zeros((8, 4, 3), np.uint8))[1].tobytes()
""")
    answer = bench("data", "stats", "twins", "--plugin", file)
    assert (answer.status, answer.err.splitlines()[-1]) == (
        2,
        "bench: twins: person 1 is in train and in query; a person must be in one of them",
    )


def test_random_splits_of_an_import_do_not_overlap(tmp_path):
    table = make_table(SOUND)
    table["trains_in"] = ["", "0", "", ""]  # the query of person 2, but not the gallery
    with pytest.raises(UserError, match="mine, split 0: person 2 is in train and in gallery"):
        write_import(tmp_path / "mine", table, [], {"name": "mine", "splits": 1})


def test_verify_lists_all_faults_in_one_pass(bench, prid):
    write_splits(prid, train=[1, 2, 4], test=[3, 4])
    cameras = prid / "prid_2011/multi_shot"
    (cameras / "cam_a/person_0001/first.png").touch()
    (cameras / "cam_b/person_0001/0001.png").write_bytes(b"")
    huge_jpeg(cameras / "cam_a/person_0002/0001.png")
    huge_png(cameras / "cam_b/person_0002/0002.png")
    (cameras / "cam_b/person_0003/0001.png").write_text("text")
    answer = bench("data", "verify", "prid2011", "--root", prid)
    found = [line.removeprefix(f"{cameras}/") for line in answer.out.splitlines() if line.startswith(str(prid))]
    frames = [line.partition(": ")[0] for line in found if not line.startswith(str(prid))]
    assert answer.status == 1
    assert frames == [
        "cam_a/person_0001/first.png",
        "cam_a/person_0002/0001.png",
        "cam_b/person_0001/0001.png",
        "cam_b/person_0002/0002.png",
        "cam_b/person_0003/0001.png",
    ]
    assert sum("claims 65,500 x 65,500 pixels; an image may have 67,108,864 at most" in line for line in found) == 2
    assert sum("person 4 is in train and in query" in line for line in found) == 1


def test_run_with_a_bad_frame_is_refused_before_it_trains(bench, prid):
    huge_jpeg(prid / "prid_2011/multi_shot/cam_b/person_0004/0002.png")  # of the test, which comes after the training
    ask = ("run", "--method", "mean", "--dataset", "prid2011", "--root", prid, "--recipe", "small", "--epochs", "1")
    answer = bench(*ask)
    assert answer.status == 2
    last = answer.err.splitlines()[-1]
    assert "cam_b/person_0004/0002.png: cannot be decoded (claims 65,500 x 65,500 pixels" in last
    assert "`bench data verify` lists every fault" in last
    assert "train: " not in answer.err


def test_huge_image_is_not_imported(tmp_path):
    for person in range(4):
        for camera in range(2):
            (tmp_path / f"images/{person}").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(
                str(tmp_path / f"images/{person}/{camera}.jpg"), np.full((8, 4, 3), 60 * person + camera, np.uint8)
            )
    huge_jpeg(tmp_path / "images/3/1.jpg")
    with pytest.raises(UserError, match=r"images/3/1\.jpg: cannot be decoded \(claims 65,500 .*; replace or delete it"):
        import_images(
            tmp_path / "images",
            "mine",
            tmp_path / "mine",
            pattern=r"(?P<pid>\d)/(?P<camid>\d)\.jpg",
            queries="first-camera",
        )


@pytest.mark.parametrize("text", ["[" * 100_000, f"[{'9' * 5000}]", '{"a": ' * 50_000])
def test_hostile_split_file_is_refused(prid, text):
    (prid / "splits_prid2011.json").write_text(text)
    with pytest.raises(UserError, match=r"splits_prid2011\.json: split 0 is not \{train, test\}"):
        loading.load("prid2011", root=prid)


def test_number_of_a_person_that_no_integer_holds(prid, bench):
    for camera in "ab":
        folder = prid / f"prid_2011/multi_shot/cam_{camera}"
        (folder / "person_0004").rename(folder / f"person_{10**24}")
    write_splits(prid, train=[1, 2], test=[3, 10**24])
    answer = bench("data", "stats", "prid2011", "--root", prid)
    assert answer.status == 2
    assert f"{prid}: " in answer.err.splitlines()[-1]
    assert f"person_{10**24}C1: {10**24} is not a whole number below 2^63" in answer.err.splitlines()[-1]
