import os

import pytest

from baselines.interface.errors import UserError
from benchmarks.data.dataset import StructureError
from benchmarks.data.datasets.dukev import DukeV
from benchmarks.data.table import check

NEW = "{pid}_C{camera}_F{frame:04d}_X{place}.jpg"
OLD = "{pid}C{camera}F{frame:04d}X{place}.jpg"


def tracklet(root, folder, camera, frames, style=NEW):
    """Frame files of one tracklet. The place X falls as time goes on, so that only F gives the order."""
    (root / folder).mkdir(parents=True)
    pid = folder.split("/")[1]
    for frame in frames:
        (root / folder / style.format(pid=pid, camera=camera, frame=frame, place=99_999 - frame)).touch()


@pytest.fixture(params=[NEW, OLD], ids=["new names", "old names"])
def root(tmp_path, request):
    style = request.param
    tracklet(tmp_path, "train/0007/0003", 6, [99, 1, 7], style)
    tracklet(tmp_path, "query/0012/0100", 2, [2, 3], style)  # some tracklets start at F0002
    tracklet(tmp_path, "gallery/0012/0100", 2, [2, 3], style)
    tracklet(tmp_path, "gallery/0012/0101", 8, [1], style)
    tracklet(tmp_path, "gallery/1500/0200", 1, [1], style)
    return tmp_path


def test_folders_become_tracklets(root):
    table = check(DukeV().read(root, 0), "dukev")
    assert [(r.subset, r.pid, r.camid, r.tracklet, len(r.frames)) for r in table.itertuples()] == [
        ("train", 7, 6, "0007/0003", 3),
        ("query", 12, 2, "0012/0100", 2),
        ("gallery", 12, 2, "0012/0100", 2),
        ("gallery", 12, 8, "0012/0101", 1),
        ("gallery", 1500, 1, "1500/0200", 1),
    ]
    assert all((root / name).is_file() for frames in table.frames for name in frames)
    assert [name.partition("F")[2][:4] for name in table.frames[0]] == ["0001", "0007", "0099"]


def test_notes_count_queries_in_the_gallery(root):
    assert "1 of the 1 queries" in DukeV().notes(DukeV().read(root, 0))[0]
    tracklet(root, "query/1500/0201", 1, [2])  # the person and camera are in the gallery, the frames are not
    assert "1 of the 2 queries" in DukeV().notes(DukeV().read(root, 0))[0]


def test_tracklet_of_two_cameras_is_refused(root):
    (root / "train/0007/0003/0007C5F0100X00001.jpg").touch()
    with pytest.raises(UserError, match=r"0003: .* of one camera, this one holds \[5, 6\]"):
        DukeV().read(root, 0)


def test_unknown_frame_name_is_refused(root):
    (root / "train/0007/0003/frame1.jpg").touch()
    with pytest.raises(UserError, match=r"frame1\.jpg: not named as"):
        DukeV().read(root, 0)


def test_empty_tracklet_is_refused(root):
    (root / "gallery/1500/0300").mkdir()
    with pytest.raises(UserError, match="1500/0300: holds no frames"):
        DukeV().read(root, 0)


def test_all_faults_are_collected(root):
    (root / "query").rename(root / "elsewhere")
    (root / "train/0008").mkdir()
    (root / "train/people").mkdir()
    (root / "train/0007/0003/frame1.jpg").touch()
    (root / "train/0007/0004").mkdir()
    (root / "gallery/0012/0101/0012C5F0002X00001.jpg").touch()
    with pytest.raises(StructureError) as refused:
        DukeV().read(root, 0)
    assert [str(place.relative_to(root)) for place, _ in refused.value.faults] == [
        "query",
        "train/0007/0003/frame1.jpg",
        "train/0007/0004",
        "train/0008",
        "train/people",
        "gallery/0012/0101",
    ]
    assert list(refused.value.table.tracklet) == ["0007/0003", "0012/0100", "1500/0200"]
    assert len(refused.value.table.frames[0]) == 3


def test_frames_are_numbered_by_f():
    names = ["0001_C6_F0099_X30823.jpg", "0001C6F0099X30823.jpg"]
    assert [int(DukeV.frame_name.fullmatch(name)["frame"]) for name in names] == [99, 99]


def test_missing_folder_offers_no_download(root):
    (root / "query").rename(root / "elsewhere")
    with pytest.raises(UserError, match=r"query: not found; .*<pid>/<tracklet>.*withdrawn by its authors in 2019"):
        DukeV().read(root, 0)


def test_unreadable_folders_are_faults(root, monkeypatch):
    listed = os.scandir

    def scandir(folder):
        if folder in (root / "train/0007", root / "gallery/0012/0101"):
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(StructureError) as found:
        DukeV().read(root, 0)
    assert [(str(place.relative_to(root)), problem) for place, problem in found.value.faults] == [
        ("train/0007", "Permission denied"),
        ("gallery/0012/0101", "Permission denied"),
    ]
    assert list(found.value.table.tracklet) == ["0012/0100", "0012/0100", "1500/0200"]
