import json
import shutil

import cv2
import numpy as np
import pytest

from benchmarks.data.dataset import Dataset
from benchmarks.data.frame_stores import FolderStore, PackedStore, write_pack
from benchmarks.data.loading import LoadedDataset
from benchmarks.data.table import make_table
from benchmarks.data.verify import verify


class Small(Dataset):
    protocols, folder, layout, source = ("standard",), "small", "", ""
    published = {"train": {"identities": 1, "tracklets": 2, "frames": 5}, "query": {"tracklets": 0}}  # noqa: RUF012

    def read(self, root, split):
        return make_table(
            [
                ("train", 1, 1, "a", ["a/1.jpg", "a/2.jpg", "a/3.jpg"]),
                ("train", 1, 2, "b", ["b/1.png", "b/2.png"]),
            ]
        )


@pytest.fixture
def root(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (128, 64, 3), np.uint8)
    for name in ("a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / name), picture)
    return tmp_path


def data(root, dataset, store=None):
    return LoadedDataset("small", 0, dataset.read(root, 0), store or FolderStore(root), "", dataset, root)


def found(root, dataset=None, store=None, **options):
    findings = verify(data(root, dataset or Small(), store), **options)
    return [(finding.kind, finding.subject.removeprefix(f"{root}/")) for finding in findings]


def cut(file, share):
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])


def test_complete_data_set_has_no_findings(root):
    assert found(root) == []


def test_every_kind_of_bad_frame_is_found(root):
    (root / "a/1.jpg").unlink()
    cut(root / "a/2.jpg", 0)
    cut(root / "a/3.jpg", 0.9)  # most of the image exists: a lenient decoder would accept it
    cut(root / "b/1.png", 0.9)
    (root / "b/2.png").write_text("<html>404</html>")
    assert found(root) == [
        ("missing", "a/1.jpg"),
        ("empty", "a/2.jpg"),
        ("unreadable", "a/3.jpg"),
        ("unreadable", "b/1.png"),
        ("unreadable", "b/2.png"),
    ]


@pytest.mark.parametrize("tail", [b"", bytes(1000), b"\xff\xd9"], ids=["cut", "zeros", "cut and closed"])
def test_half_an_image_is_unreadable(root, tail):
    file = root / "a/1.jpg"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + tail)
    assert found(root) == [("unreadable", "a/1.jpg")]


def test_trailing_bytes_are_accepted(root):
    file = root / "a/1.jpg"
    file.write_bytes(file.read_bytes() + bytes(10))
    assert found(root) == []


def test_folder_in_place_of_a_frame(root):
    (root / "a/1.jpg").unlink()
    (root / "a/1.jpg").mkdir()
    assert found(root) == [("unreadable", "a/1.jpg")]


def test_counts_differ_from_published(root):
    class Larger(Small):
        published = {"train": {"identities": 1, "tracklets": 8298}, "query": {"frames": 3}}  # noqa: RUF012

    assert list(map(str, verify(data(root, Larger())))) == [
        "train tracklets: 2 found, 8,298 published",
        "query frames: 0 found, 3 published",
    ]


def test_packed_frames_are_verified(root, tmp_path):
    good = (root / "a/1.jpg").read_bytes()
    write_pack(tmp_path / "frames.arrow", [("a/1.jpg", good), ("a/2.jpg", b""), ("a/3.jpg", good[:-30])])
    assert found(root, store=PackedStore(tmp_path / "frames.arrow")) == [
        ("empty", "a/2.jpg"),
        ("unreadable", "a/3.jpg"),
        ("missing", "b/1.png"),
        ("missing", "b/2.png"),
    ]


def test_progress_counts_every_frame_once(root):
    class Long(Small):
        published = {}  # noqa: RUF012

        def read(self, root, split):
            frames = [f"a/{number:05d}.jpg" for number in range(3000)]
            return make_table([("train", 1, 1, "a", frames), ("gallery", 1, 1, "a", frames)])

    seen = []
    kinds = found(root, Long(), progress=lambda done, total: seen.append((done, total)))
    assert len(kinds) == 3000
    assert [total for _, total in seen] == [3000] * len(seen)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (3000, 3000)
    assert len(seen) > 1


@pytest.fixture
def prid(tmp_path):
    """PRID-2011 with four persons, seen in four frames by each camera; split 0 trains on the first two."""
    picture = np.zeros((8, 4, 3), np.uint8)
    persons = [f"person_{person:04d}" for person in range(1, 5)]
    for camera in "ab":
        for person in persons:
            folder = tmp_path / f"prid_2011/multi_shot/cam_{camera}/{person}"
            folder.mkdir(parents=True)
            for frame in range(1, 5):
                assert cv2.imwrite(str(folder / f"{frame:04d}.png"), picture)
    (tmp_path / "splits_prid2011.json").write_text(json.dumps([{"train": persons[:2], "test": persons[2:]}] * 10))
    return tmp_path


def verified(bench, root):
    """The exit status of `bench data verify`, and its findings by path, without those of counts."""
    answer = bench("data", "verify", "prid2011", "--root", root)
    lines = [line for line in answer.out.splitlines() if line.startswith(f"{root}/")]
    place = f"{root}/prid_2011/multi_shot/"
    return answer.status, dict(line.removeprefix(place).split(": ", 1) for line in lines)


def test_all_structure_faults_are_listed(bench, prid):
    cameras = prid / "prid_2011/multi_shot"
    shutil.rmtree(cameras / "cam_b/person_0001")
    for frame in (cameras / "cam_a/person_0002").iterdir():
        frame.unlink()
    (cameras / "cam_a/person_0003/first.png").touch()
    cut(cameras / "cam_b/person_0003/0001.png", 0)
    (cameras / "cam_b/person_0004/0002.png").unlink()
    status, findings = verified(bench, prid)
    assert status == 1
    assert findings.keys() == {
        "cam_b/person_0001",
        "cam_a/person_0002",
        "cam_a/person_0003/first.png",
        "cam_b/person_0003/0001.png",
        "cam_b/person_0004",
    }
    assert findings["cam_b/person_0001"].startswith("not found")
    assert findings["cam_a/person_0002"] == "holds no frames"
    assert findings["cam_a/person_0003/first.png"] == "not named as 0001.png"
    assert findings["cam_b/person_0003/0001.png"] == "an empty file"
    assert findings["cam_b/person_0004"].endswith("lacks the frames with the numbers 2")


def test_run_on_faulty_data_is_refused(bench, prid):
    for person in (1, 3):
        shutil.rmtree(prid / f"prid_2011/multi_shot/cam_b/person_{person:04d}")
    answer = bench("run", "--method", "mean", "--dataset", "prid2011", "--root", prid)
    assert answer.status == 2
    (line,) = (line for line in answer.err.splitlines() if "not found" in line)
    assert "cam_b/person_0001: not found" in line
    assert "1 more: `bench data verify` lists them" in line


def test_gaps_in_frame_numbers(bench, prid):
    folder = prid / "prid_2011/multi_shot/cam_b/person_0004"
    for number in (20, 5, 11, 9):
        shutil.copy(folder / "0001.png", folder / f"{number:04d}.png")
    shutil.rmtree(prid / "prid_2011/multi_shot/cam_a/person_0002")
    shutil.copytree(folder, prid / "prid_2011/multi_shot/cam_a/person_0002")
    (prid / "prid_2011/multi_shot/cam_a/person_0001/0001.png").unlink()  # a tracklet may start anywhere
    _, findings = verified(bench, prid)
    gaps = "lacks the frames with the numbers 6 to 8, 10, 12 to 19"
    assert findings == {
        "cam_b/person_0004": f"tracklet person_0004C2 of gallery {gaps}",
        "cam_a/person_0002": f"tracklet person_0002C1 of train {gaps}",
    }


def test_names_without_numbers_have_no_gaps(root):
    (root / "a/2.jpg").unlink()
    assert found(root) == [("missing", "a/2.jpg")]


def test_conclusion(bench, prid, monkeypatch):
    drawn = bench("data", "verify", "walkers:tiny")
    assert drawn.status == 0
    assert drawn.out.splitlines()[-1] == "walkers:tiny: every frame readable"
    assert bench("data", "verify", "prid2011", "--root", prid).out.splitlines()[-1] == "prid2011: 6 findings"
    monkeypatch.setattr(
        "benchmarks.data.datasets.prid2011.Prid2011.published", {"train": {"identities": 2}, "query": {"tracklets": 2}}
    )
    whole = bench("data", "verify", "prid2011", "--root", prid)
    assert whole.status == 0
    assert whole.out.splitlines()[-1] == "prid2011: counts as published, every frame readable"
