import cv2
import numpy as np
import pytest

from benchmarks.data.dataset import Dataset
from benchmarks.data.stores import FolderStore, PackedStore, write_pack
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


def found(root, dataset=None, store=None, **options):
    dataset = dataset or Small()
    findings = verify(dataset, root, dataset.read(root, 0), store or FolderStore(root), **options)
    return [(finding.kind, finding.subject.removeprefix(f"{root}/")) for finding in findings]


def cut(file, share):
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])


def test_a_whole_data_set_has_no_findings(root):
    assert found(root) == []


def test_one_pass_finds_every_bad_frame_of_every_kind(root):
    (root / "a/1.jpg").unlink()
    cut(root / "a/2.jpg", 0)
    cut(root / "a/3.jpg", 0.9)  # most of the picture is there: decoders that forgive would pass it
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
def test_a_picture_whose_second_half_is_lost_is_unreadable(root, tail):
    file = root / "a/1.jpg"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + tail)
    assert found(root) == [("unreadable", "a/1.jpg")]


def test_bytes_after_the_end_of_a_picture_do_no_harm(root):
    file = root / "a/1.jpg"
    file.write_bytes(file.read_bytes() + bytes(10))
    assert found(root) == []


def test_a_folder_in_a_frames_place_is_unreadable_and_not_missing(root):
    (root / "a/1.jpg").unlink()
    (root / "a/1.jpg").mkdir()
    assert found(root) == [("unreadable", "a/1.jpg")]


def test_counts_are_compared_with_the_published_ones(root):
    class Larger(Small):
        published = {"train": {"identities": 1, "tracklets": 8298}, "query": {"frames": 3}}  # noqa: RUF012

    dataset = Larger()
    findings = verify(dataset, root, dataset.read(root, 0), FolderStore(root))
    assert list(map(str, findings)) == [
        "train tracklets: 2 found, 8,298 published",
        "query frames: 0 found, 3 published",
    ]


def test_packed_frames_are_verified_as_files_are(root, tmp_path):
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
