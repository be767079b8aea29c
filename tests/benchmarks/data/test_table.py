"""Frame names read from a file equal those that were written, and behave like a list."""

import pickle

import pytest

from benchmarks.data.table import make_table, read_table

FRAMES = [["a/1.jpg", "a/2.jpg", "a/3.jpg"], ["b/é.jpg"], ["c/1.jpg", "c/2.jpg", "c/3.jpg"]]


@pytest.fixture
def read(tmp_path):
    rows = [("train", pid, 1, str(pid), frames) for pid, frames in enumerate(FRAMES)]
    make_table(rows).to_parquet(tmp_path / "table.parquet")
    return list(read_table(tmp_path / "table.parquet").frames)


def test_frames_survive_a_file(read):
    assert read == FRAMES
    assert read[0] != FRAMES[2]
    assert [list(frames) for frames in read] == FRAMES
    assert [len(frames) for frames in read] == [3, 1, 3]
    assert pickle.loads(pickle.dumps(read)) == FRAMES


def test_names_are_pickled_once(tmp_path):
    rows = [("train", pid, 1, str(pid), [f"{pid:04d}/{n:04d}.jpg" for n in range(50)]) for pid in range(100)]
    make_table(rows).to_parquet(tmp_path / "table.parquet")
    names = sum(len(name) for *_, frames in rows for name in frames)
    assert len(pickle.dumps(list(read_table(tmp_path / "table.parquet").frames))) < 2 * names


@pytest.mark.parametrize(
    "at", [0, 2, -1, -3, slice(1, None), slice(0, 2), slice(None, None, -1), slice(2, 9), slice(3, 3)]
)
def test_frame_names_index_like_a_list(read, at):
    assert read[2][at] == FRAMES[2][at]


@pytest.mark.parametrize("at", [3, -4])
def test_index_beyond_the_tracklet(read, at):
    with pytest.raises(IndexError):
        read[0][at]
