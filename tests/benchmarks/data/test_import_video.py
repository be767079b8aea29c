"""Import of one video: crops, tracklets, identities, and what is refused."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from baselines.interface.errors import UserError
from benchmarks.data import import_video
from benchmarks.data.frame_stores import PackedStore
from benchmarks.data.import_video import Video, import_videos
from benchmarks.data.table import statistics

from .drawn_tracks import COLOURS, PEOPLE, crop, made_from, row


def test_crops_show_the_right_track(bring, tmp_path):
    table = bring()
    store = PackedStore(tmp_path / "made/frames.arrow")
    for tracklet in table.itertuples():
        for name in tracklet.frames:
            picture = cv2.imdecode(np.frombuffer(store.read(name), np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (32, 24, 3)
            inner = picture[6:-6, 6:-6].reshape(-1, 3).mean(axis=0)  # the video's own compression blurs the edges
            np.testing.assert_allclose(inner, COLOURS[tracklet.camid], atol=12, err_msg=name)
        assert tracklet.pid == PEOPLE[tracklet.camid]


def test_tracks_are_cut_into_tracklets(bring):
    table = bring()
    lengths = {
        track: [len(frames) for frames in part.sort_values("tracklet").frames] for track, part in table.groupby("camid")
    }
    # 25 leaves half of 10, a tracklet of its own; 24 leaves less; 3 is too short to be cut
    assert lengths == {1: [10, 10, 10, 10], 2: [10, 10, 5], 3: [10, 14], 4: [3], 5: [10]}
    numbers = [int(name[-7:-4]) for frames in table[table.camid == 1].sort_values("tracklet").frames for name in frames]
    assert numbers == list(range(1, 41))


def test_row_order_does_not_matter(bring):
    rows = [row(track, frame) for frame in range(1, 21) for track in (1, 2, 3)]
    assert bring(rows, to="a").equals(bring(rows[::-1], to="b"))


def test_each_test_track_has_one_query(bring):
    for name in "abcd":
        table = bring(name=name, to=name, train_share=0.34)  # one of three persons: the one with a single track
        assert set(table.pid[table.subset == "train"]) == {30}
    query = table[table.subset == "query"]
    assert sorted(query.camid) == [1, 2, 3, 4]
    assert set(table.pid[table.subset == "gallery"]) == {10, 20}


def test_person_with_one_track_is_a_distractor(bring):
    people = {1: 10, 2: 10, 3: 20, 4: 30, 5: 40}
    table = bring(people=people, train_share=0.25)  # of the three with one view, one is for training
    counts = statistics(table)
    assert set(table.pid[table.subset == "query"]) == {10}
    assert counts["train"]["identities"] == 1
    assert counts["gallery"]["identities"] == 3
    assert counts["gallery"]["distractors"] == len(table[(table.subset == "gallery") & (table.pid != 10)])


def test_name_does_not_change_the_split(bring):
    def training(name, to, first=10, second=20):
        table = bring(people={1: first, 2: first, 3: second, 4: second}, name=name, to=to)
        chosen = set(table.pid[table.subset == "train"])
        assert not chosen & set(table.pid[table.subset != "train"])
        return chosen

    names = [training(f"name{number}", f"made{number}") for number in range(8)]
    assert names == [names[0]] * 8
    others = [training("name", f"other{number}", number, number + 1) == {number} for number in range(8)]
    assert set(others) == {True, False}  # random, and not always the lower number


def test_boxes_are_clipped(bring, tmp_path):
    rows = ["1,1,-10,-20,30,50,1", "2,1,310,200,30,50,1", "1,2,10.4,10.6,20.4,20,1", "1,3,0,0,9,9,1"]
    rows += ["3,1,-50,0,30,30,1", "4,1,0,240,30,30,1"]
    table = bring(rows, people={1: 1, 2: 1, 3: 2})
    shapes = {name: crop(tmp_path / "made", name).shape[:2] for frames in table.frames for name in frames}
    by_track = {(int(name[5]), int(name[-7:-4])): shape for name, shape in shapes.items()}
    assert by_track == {(1, 1): (30, 20), (1, 2): (40, 10), (2, 1): (20, 21), (3, 1): (9, 9)}
    assert made_from(tmp_path)["boxes_outside_the_picture"] == 2


def test_margin_widens_every_side(bring, tmp_path):
    table = bring(margin=0.25)
    inside = next(name for name in table[table.camid == 3].frames.iloc[0])
    assert crop(tmp_path / "made", inside).shape == (48, 36, 3)


def test_large_crops_are_shrunk(bring, tmp_path):
    file, (left, right) = tmp_path / "large.avi", ((0, 0, 255), (255, 0, 0))
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 10, (1024, 1100))
    for _ in range(3):
        picture = np.full((1100, 1024, 3), left, np.uint8)
        picture[:, 200:400] = right
        writer.write(picture)
    writer.release()
    sizes = {1: (400, 1100), 2: (300, 520), 3: (200, 1100), 4: (1024, 400)}
    table = bring([f"1,{t},0,0,{w},{h},1" for t, (w, h) in sizes.items()], {1: 1, 2: 1, 3: 2, 4: 2}, video=file)
    crops = {int(frames[0][5]): crop(tmp_path / "made", frames[0]) for frames in table.frames}
    assert {track: image.shape[:2] for track, image in crops.items()} == {
        1: (704, 256),  # 0.64 of it
        2: (512, 295),
        3: (1100, 200),  # narrow
        4: (400, 1024),  # low
    }
    assert np.abs(crops[1][:, 32:96].mean((0, 1)) - left).max() < 8
    assert np.abs(crops[1][:, 160:224].mean((0, 1)) - right).max() < 8


def test_confidence_0_is_ignored(bring):
    rows = [row(track, frame, conf="0" if frame == 2 else "0.5") for track in (1, 2, 3) for frame in (1, 2, 3)]
    assert {name[-7:-4] for frames in bring(rows).frames for name in frames} == {"001", "003"}


def test_unnamed_tracks_are_left_out(bring, tmp_path):
    table = bring(people={1: 10, 2: 10, 5: 30, 77: 30})
    assert set(table.camid) == {1, 2, 5}
    assert made_from(tmp_path)["tracks_without_identity"] == 2
    assert made_from(tmp_path)["boxes"] == 40 + 25 + 10
    with pytest.raises(UserError, match=r"people\.csv: lists none of the 5 tracks"):
        bring(people={77: 1}, to="other")


def test_note_names_files_without_folders(bring, tmp_path):
    table = bring()
    folder = tmp_path / "made"
    assert sorted(file.name for file in folder.iterdir()) == [
        "data.json",
        "frames.arrow",
        "frames.arrow.crc32",
        "import.json",
        "table.parquet",
    ]
    text = (folder / "import.json").read_text()
    assert str(tmp_path) not in text
    names = [kind["name"] for kind in made_from(tmp_path)["files"].values()]
    assert names == ["walk.avi", "tracks.txt", "people.csv"]
    names = {name for frames in table.frames for name in frames}
    assert set(PackedStore(folder / "frames.arrow").sizes(names)) == names


def test_progress_counts_frames(bring):
    seen = []
    bring([row(track, frame) for track in (1, 2, 3) for frame in (3, 12)], progress=lambda *step: seen.append(step))
    assert seen == [(done, 12) for done in range(1, 13)]


def test_boxes_outside_the_picture_alone_are_refused(bring):
    with pytest.raises(UserError, match=r"tracks\.txt: has no box within the 320 x 240 pixels of .*walk\.avi"):
        bring(["1,1,-50,0,30,30,1", "2,1,0,240,30,30,1"], people={1: 1})


def _not_there() -> tuple[bool, None]:
    return True, None  # as OpenCV answers for some damaged pictures


def _too_large() -> tuple[bool, None]:
    raise cv2.error("chunk.m_size <= 67108864")


@pytest.mark.parametrize("retrieve", [_not_there, _too_large])
def test_picture_that_cannot_be_decoded_is_named(bring, monkeypatch, retrieve):
    real = import_video._open

    def damaged(video):
        capture = real(video)
        return SimpleNamespace(get=capture.get, grab=capture.grab, retrieve=retrieve)

    monkeypatch.setattr(import_video, "_open", damaged)
    with pytest.raises(UserError, match=r"walk\.avi: frame 1 cannot be decoded"):
        bring()


def test_boxes_after_the_video_are_refused(bring, tmp_path):
    rows = [row(track, frame) for track in (1, 2, 3) for frame in (1, 41)]
    with pytest.raises(UserError, match=r"tracks\.txt: has boxes up to frame 41, but .*walk\.avi ends after frame 40"):
        bring(rows)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["people.csv", "tracks.txt"]


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("1,2,3", "expected the numbers"),
        ("frame,track,left,top,width,height,conf", "expected the numbers"),
        ("1;2;3;4;5;6;7", "expected the numbers"),
        ("0,1,1,1,5,5,1", "frame must be a whole number from 1"),
        ("1.5,1,1,1,5,5,1", "frame must be a whole number from 1"),
        ("1e300,1,1,1,5,5,1", r"frame must be a whole number from 1, track a whole number, and both below 2\^53"),
        ("9,1e300,1,1,5,5,1", r"frame must be a whole number from 1, track a whole number, and both below 2\^53"),
        (f"9,{2**53 + 1},1,1,5,5,1", r"frame .* and both below 2\^53"),
        ("2,1,1_0,1,5,5,1", "expected the numbers"),
        ("2,1,1,1,5,5,12,2,1,1,5,5,1", "13 values, but 10 in the first row"),  # a line end is lost
        ("9,1,1,1,0,5,1", "a box of 0 x 5 pixels"),
        ("9,1,nan,1,5,5,1", "a value is not finite"),
        ("1,1,1,1,5,5,1", "a second box of track 1 in frame 1"),
    ],
)
def test_malformed_row_is_named(bring, bad, problem):
    with pytest.raises(UserError, match=rf"tracks\.txt, line 3: {problem}"):
        bring([row(1, 1), "", bad])


@pytest.mark.parametrize(
    ("people", "problem"),
    [
        ("1,10\n2", "line 3: expected whole numbers"),
        ("1,10\n2,anna", "line 3: expected whole numbers"),
        ("1,-1", "line 2: identity -1"),
        ("1,1_0", "line 2: expected whole numbers"),
        ("1,10\x0b2,10", "line 2: expected whole numbers"),
        (f"1,{10**24}", r"line 2: track_id and identity must be below 2\^53"),
        (f"{2**53 + 1},1", r"line 2: track_id and identity must be below 2\^53"),
        (f"1,{'9' * 5000}", "line 2: expected whole numbers"),
        (f"1,{'9' * 200_000}", "line 2: not CSV"),
        ("1,10\n1,20", "line 3: track 1 is person 10 in an earlier line"),
    ],
)
def test_malformed_identity_is_named(bring, people, problem):
    with pytest.raises(UserError, match=rf"people\.csv, {problem}"):
        bring(people=people)


def test_wrong_header_is_refused(bring, tmp_path, video):
    bring()
    (tmp_path / "people.csv").write_text("1,10\n2,10\n")
    with pytest.raises(UserError, match="line 1: the header must be track_id,identity"):
        import_videos([Video(video, tmp_path / "tracks.txt", tmp_path / "people.csv")], "walk", tmp_path / "other")


def test_unreadable_files_are_named(bring, tmp_path, video):
    with pytest.raises(UserError, match=r"gone\.avi: no such file"):
        bring(video=tmp_path / "gone.avi")
    (tmp_path / "noise.avi").write_bytes(bytes(1000))
    with pytest.raises(UserError, match=r"noise\.avi: not a video"):
        bring(video=tmp_path / "noise.avi")
    for name in ("boxes.txt", "boxes.nfo", "boxes.avi"):  # FFmpeg would decode text as a video of a terminal
        (tmp_path / name).write_text((tmp_path / "tracks.txt").read_text())
        with pytest.raises(UserError, match=rf"{name}: not a video"):
            bring(video=tmp_path / name, to="none")
    with pytest.raises(UserError, match=r"walk\.avi: not a text file"):
        import_videos([Video(video, video, tmp_path / "people.csv")], "walk", tmp_path / "made")
    with pytest.raises(UserError, match=r"gone\.txt: No such file"):
        import_videos([Video(video, tmp_path / "gone.txt", tmp_path / "people.csv")], "walk", tmp_path / "made")


def test_too_few_tracks_are_refused(bring):
    with pytest.raises(UserError, match="5 persons in at most 1 tracks each"):
        bring(people={track: track for track in COLOURS})
    with pytest.raises(UserError, match="1 persons in at most 5 tracks each"):
        bring(people=dict.fromkeys(COLOURS, 7))


@pytest.mark.parametrize("option", [{"tracklet_frames": 0}, {"train_share": 0}, {"train_share": 1}, {"margin": -0.1}])
def test_option_out_of_range_is_refused(bring, option):
    with pytest.raises(UserError, match=f"--{next(iter(option)).replace('_', '-')}"):
        bring(**option)


@pytest.mark.parametrize("name", ["mars", "walkers", "walk@2", "walk:tiny", "-walk", "", "a b"])
def test_taken_or_bad_name_is_refused(bring, name):
    with pytest.raises(UserError, match=f"--name {name}: already taken, or has other characters"):
        bring(name=name)


def test_existing_data_set_is_kept(bring):
    bring()
    with pytest.raises(UserError, match="made: exists already"):
        bring()


def test_pets2009(shared, tmp_path):
    pets = shared("pets2009")
    files = pets / "vtest.avi", pets / "gt.txt", pets / "identities.csv"
    table = import_videos([Video(*files)], "pets2009", tmp_path / "pets2009")
    assert table.pid.nunique() == 10
    assert table.camid.nunique() == 19
    assert sum(map(len, table.frames)) == 4650
    counts = statistics(table)
    assert counts["train"]["identities"] == 5
    assert counts["query"]["identities"] == 5  # 7 people have two tracks or more: enough for the whole test half
    assert counts["gallery"]["distractors"] == 0
