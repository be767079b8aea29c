"""Import of several videos, each seen by a camera."""

import numpy as np
import pytest

from baselines.interface.errors import UserError
from benchmarks.data import imported_folder
from benchmarks.data.import_video import Video, import_videos, pair_videos
from benchmarks.data.loading import load

from .drawn_tracks import COLOURS, crop, row


@pytest.fixture
def cameras(video, tmp_path, monkeypatch):
    """Two cameras whose trackers number from 1 each: person 10 is track 1 of the first and track 2 of the second."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    seen = {1: {1: 10, 2: 20, 3: 30}, 2: {2: 10, 1: 20, 4: 30}}
    made = []
    for camera, people in seen.items():
        rows = [row(track, frame) for track in people for frame in range(1, 21)]
        files = tmp_path / f"cam{camera}.txt", tmp_path / f"people{camera}.csv"
        files[0].write_text("\n".join(rows))
        files[1].write_text("\n".join(["track_id,identity", *(f"{each},{pid}" for each, pid in people.items())]))
        made.append(Video(video, *files, camera))
    return made


def bring_cameras(videos, name="street", **options):
    return import_videos(videos, name, imported_folder(name), tracklet_frames=10, **options)


def test_each_video_is_a_camera(cameras):
    table = bring_cameras(cameras)
    assert set(zip(table.pid, table.camid, strict=True)) == {(pid, camid) for pid in (10, 20, 30) for camid in (1, 2)}
    colours = {(10, 1): 1, (20, 1): 2, (30, 1): 3, (10, 2): 2, (20, 2): 1, (30, 2): 4}  # the tracks with that colour
    for tracklet in table.itertuples():
        inner = crop(imported_folder("street"), tracklet.frames[0])[6:-6, 6:-6].reshape(-1, 3).mean(axis=0)
        np.testing.assert_allclose(inner, COLOURS[colours[tracklet.pid, tracklet.camid]], atol=12)
    test = table[table.subset != "train"]
    assert sorted(test.subset) == ["gallery"] * (len(test) // 2) + ["query"] * (len(test) // 2)
    assert len(test[test.subset == "query"].drop_duplicates(["pid", "camid"])) == len(test) // 2


def test_added_video_is_as_if_imported_at_once(cameras):
    bring_cameras(cameras, "once", train_share=0.4, note="a street")
    bring_cameras(cameras[:1], "twice", train_share=0.4, note="a street")
    with pytest.raises(
        UserError, match=r"data set twice: for feature extraction only, .* 3 persons in at most 1 cameras"
    ):
        load("twice")
    bring_cameras(cameras[1:], "twice", add=True)
    assert load("once").digest == load("twice").digest
    notes = [(imported_folder(name) / "import.json").read_text() for name in ("once", "twice")]
    assert notes[0].replace('"once"', '"twice"') == notes[1]


def test_second_video_of_a_camera_continues_its_numbers(cameras):
    bring_cameras(cameras)
    again = cameras[0]._replace(camera=2)
    table = bring_cameras([again], add=True)
    assert sorted(table.tracklet[(table.pid == 10) & (table.camid == 2)]) == [f"0010C2T000{n}" for n in (1, 2, 3, 4)]


def test_identities_of_all_cameras_in_one_file(cameras, tmp_path):
    expected = bring_cameras(cameras)
    rows = [f"{each.camera},{line}" for each in cameras for line in each.identities.read_text().split()[1:]]
    (tmp_path / "all.csv").write_text("\n".join(["camera,track_id,identity", *rows]))
    files = [each.video for each in cameras], [each.tracks for each in cameras], [tmp_path / "all.csv"]
    assert bring_cameras(pair_videos(*files, [1, 2]), "other").equals(expected)
    with pytest.raises(UserError, match=r"all\.csv, line 1: has the column camera; give the --camera of the video"):
        bring_cameras([cameras[0]._replace(identities=tmp_path / "all.csv", camera=None)], "third")


def test_tracks_without_identities_are_for_features_only(cameras):
    table = bring_cameras([each._replace(identities=None) for each in cameras])
    assert set(table.pid) == {-1}
    assert set(table.subset) == {"gallery"}
    names = {
        f"C{camera}track{track}T000{n}"
        for camera, tracks in ((1, "123"), (2, "124"))
        for track in tracks
        for n in (1, 2)
    }
    assert set(table.tracklet) == names
    with pytest.raises(UserError, match=r"data set street: for feature extraction only, .*no identities"):
        load("street")
    assert len(load("street", features_only=True).table) == 12
    with pytest.raises(UserError, match="--add: give --identities if, and only if, street was imported with them"):
        bring_cameras(cameras[:1], add=True)


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ((2, 1, 2, 2), "--tracks: 1 given for 2 --video"),
        ((2, 2, 2, 0), "--camera: 0 given for 2 --video"),
        ((2, 2, 3, 2), "--identities: 3 given for 2 --video"),
        ((1, 0, 1, 0), "--tracks: 0 given for 1 --video"),
    ],
)
def test_wrong_number_of_files_is_refused(counts, problem):
    with pytest.raises(UserError, match=problem):
        pair_videos(*([number] * count for number, count in enumerate(counts)))


def test_add_needs_cameras_and_a_data_set(cameras, bring, tmp_path):
    with pytest.raises(UserError, match="--add: there is no imported data set street"):
        bring_cameras(cameras, add=True)
    bring(to=imported_folder("walk"))
    with pytest.raises(UserError, match="--add: takes a video with a --camera"):
        bring_cameras(cameras, "walk", add=True)


def test_failed_addition_changes_nothing(cameras, tmp_path):
    bring_cameras(cameras)
    before = {file.name: file.read_bytes() for file in imported_folder("street").iterdir()}
    (tmp_path / "cam1.txt").write_text(row(1, 1) + "\n" + row(1, 41))
    with pytest.raises(UserError, match="ends after frame 40"):
        bring_cameras(cameras[:1], add=True)
    assert {file.name: file.read_bytes() for file in imported_folder("street").iterdir()} == before
    assert [file.name for file in imported_folder("street").parent.iterdir()] == ["street"]


def test_videos_by_the_command(cameras, bench, tmp_path):
    options = [option for each in cameras for key, value in each._asdict().items() for option in (f"--{key}", value)]
    answer = bench("data", "import", *options, "--name", "street", "--tracklet-frames", 10)
    assert answer.status == 0
    assert "bench run --method mean+afa --dataset street" in answer.out
    answer = bench("data", "import", *options[:4], "--name", "tracks")
    assert answer.status == 0
    assert "bench features RUN --dataset tracks" in answer.out
    answer = bench("run", "--method", "mean", "--dataset", "tracks")
    assert answer.status == 2
    assert "data set tracks: for feature extraction only" in answer.err
