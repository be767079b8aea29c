"""What the clock leaves of a drawn data set is whole tracklets, with the bytes that they always have."""

import pytest

from benchmarks.speed.drawing import draw_within, drawn_dataset


@pytest.mark.parametrize(("seconds", "part"), [(0, 2), (3600, None)])
def test_drawing_respects_the_time_limit(tmp_path, seconds, part):
    dataset = drawn_dataset("walkers:tiny")
    whole = dataset.tracklets()
    drawn = draw_within(seconds, "walkers:tiny", tmp_path, processes=2)
    assert len(drawn.table) == (part or len(whole))  # without any time, one a process
    assert set(drawn.table.tracklet) <= set(whole.tracklet)
    for row in drawn.table.itertuples():
        assert {name: bytes(drawn.store.read(name)) for name in row.frames} == dict(dataset.named_frames(row))
