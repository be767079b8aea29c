"""The drawn data set: the same bytes from a name however it is drawn, and identity where each kind says it lies."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import simplejpeg

from baselines.interface.errors import UserError
from benchmarks.data import puppets
from benchmarks.data.datasets import walkers
from benchmarks.data.table import check, digest, statistics

TINY = {kind: walkers.parse(f"{kind}:tiny") for kind in walkers.KINDS}


def drawn(world: walkers.World, rows: pd.DataFrame) -> dict[str, list[bytes]]:
    return {
        row.tracklet: [data for _, data in walkers.tracklet_frames(world, row)] for row in rows.itertuples(index=False)
    }


def persons(world: walkers.World) -> list[tuple[int, list[str]]]:
    table = walkers.table(world)
    return [(pid, list(part.tracklet)) for pid, part in table[table.pid > 0].groupby("pid")]


@pytest.mark.parametrize("world", TINY.values(), ids=str)
def test_same_bytes_again_in_another_order_and_in_shares(world):
    whole = list(walkers.frames(world))
    shares = [frame for k in range(3) for frame in walkers.frames(world, part=(k, 3))]
    assert shares == whole
    backwards = drawn(world, walkers.table(world).iloc[::-1])
    in_order = [data for tracklet in walkers.table(world).tracklet for data in backwards[tracklet]]
    assert in_order == [data for _, data in whole]


def test_worlds_and_kinds_differ_in_every_frame():
    images = {
        name: dict(walkers.frames(walkers.parse(name)))
        for name in ("walkers:tiny", "walkers@2:tiny", "walkers-gait:tiny")
    }
    first = images.pop("walkers:tiny")
    for other in images.values():
        common = first.keys() & other.keys()
        assert common
        assert all(first[name] != other[name] for name in common)


def test_another_world_has_other_people():
    for kind in ("walkers", "walkers-gait"):
        one, two = walkers.parse(kind), walkers.parse(f"{kind}@2")
        assert (walkers.frequencies(one, 1, "") != walkers.frequencies(two, 1, "")).all()
    for kind in ("walkers", "walkers-appearance"):
        one, two = walkers.parse(kind), walkers.parse(f"{kind}@2")
        assert walkers.look(one, 1, "") != walkers.look(two, 1, "")


def test_frames_stand_in_the_order_of_the_table_under_names_as_in_mars():
    world = TINY["walkers"]
    table = walkers.table(world)
    names = [name for name, _ in walkers.frames(world)]
    assert names == [name for frames in table.frames for name in frames]
    assert len(set(names)) == len(names)
    for row in table.itertuples():
        person = "00-1" if row.pid == -1 else f"{row.pid:04d}"
        assert all(name.startswith(f"{person}C{row.camid}T") and name.endswith(".jpg") for name in row.frames)


@pytest.mark.parametrize("size", ["tiny", "demo", "mars"])
def test_the_table_has_what_mars_has(size):
    world = walkers.parse(f"walkers:{size}")
    table = check(walkers.table(world), "walkers")
    counts, wanted = statistics(table), walkers.SIZES[size]
    assert counts["train"]["identities"] == wanted.train
    assert counts["query"]["identities"] == wanted.test
    assert counts["gallery"]["junk"] == wanted.junk > 0
    assert counts["gallery"]["distractors"] == wanted.distractors > 0
    train, query, gallery = (table[table.subset == subset] for subset in ("train", "query", "gallery"))
    assert not set(train.pid) & set(query.pid)
    assert set(train.pid) | set(query.pid) == set(range(1, wanted.train + wanted.test + 1))
    assert not query.duplicated(["pid", "camid"]).any()
    assert (train.groupby("pid").camid.nunique() >= 2).all()
    lengths = table.frames.map(len)
    assert (lengths < 7).any()
    assert lengths.max() > 1.5 * lengths.median()
    assert lengths.mean() == pytest.approx(wanted.frames, rel=0.2)
    if size == "mars":  # the counts that the original has
        assert len(train) == pytest.approx(8298, rel=0.05)
        assert len(query) == pytest.approx(1980, rel=0.05)
        assert len(gallery) == pytest.approx(10200, rel=0.05)


@pytest.mark.parametrize("size", ["tiny", "demo", "mars"])
def test_nearly_every_query_is_matched_across_cameras(size):
    table = walkers.table(walkers.parse(f"walkers:{size}"))
    query, gallery = table[table.subset == "query"], table[table.subset == "gallery"]
    with_query = table[table.subset != "train"]

    def matched(pool):
        cameras = pool.groupby("pid").camid.agg(set)
        return np.mean([bool(cameras.get(row.pid, set()) - {row.camid}) for row in query.itertuples()])

    assert matched(with_query) == 1
    assert matched(gallery) >= 0.9


def test_frames_decode_to_the_size_of_the_world():
    for name, shape in (("walkers:tiny", (64, 32, 3)), ("walkers:mars", (256, 128, 3))):
        world = walkers.parse(name)
        row = next(walkers.table(world).itertuples(index=False))
        images = [simplejpeg.decode_jpeg(data) for _, data in walkers.tracklet_frames(world, row)]
        assert len(images) == len(row.frames)
        assert {image.shape for image in images} == {shape}
        assert all(image.std() > 5 for image in images)


def test_people_are_drawn_at_any_number_of_pixels_and_are_the_same_people():
    world = walkers.parse("walkers:tiny-96x48")
    assert walkers.table(world).to_dict("records") == walkers.table(TINY["walkers"]).to_dict("records")
    _, data = next(walkers.frames(world))
    assert simplejpeg.decode_jpeg(data).shape == (96, 48, 3)


@pytest.mark.parametrize(
    ("name", "shortest"),
    [
        ("walkers", "walkers"),
        ("walkers@1:demo", "walkers"),
        ("walkers-gait@2:tiny", "walkers-gait@2:tiny"),
        ("walkers:demo-256x128", "walkers:256x128"),
        ("walkers:mars-128x64", "walkers:mars-128x64"),
    ],
)
def test_a_world_has_one_shortest_name(name, shortest):
    assert str(walkers.parse(name)) == shortest
    assert walkers.parse(shortest) == walkers.parse(name)


def test_the_digest_changes_with_the_pixels():
    def name(world):
        return digest(walkers.table(world), {frame: len(data) for frame, data in walkers.frames(world)})

    names = {kind: name(world) for kind, world in TINY.items()}
    assert len(set(names.values())) == len(names)
    assert name(TINY["walkers"]) == names["walkers"]


def test_look_alikes_share_outfits_and_differ_in_gait():
    world = walkers.parse("walkers")
    size = walkers.SIZES["demo"]
    groups: dict[tuple[bool, puppets.Look], list[int]] = {}
    for pid, tracklets in persons(world):
        looks = {walkers.look(world, pid, tracklet) for tracklet in tracklets}
        gaits = {tuple(walkers.frequencies(world, pid, tracklet)) for tracklet in tracklets}
        assert len(looks) == len(gaits) == 1
        groups.setdefault((pid <= size.train, looks.pop()), []).append(pid)
    assert {len(group) for group in groups.values()} == {1, 2}
    alike = sum(len(group) for group in groups.values() if len(group) == 2)
    assert alike == pytest.approx((size.train + size.test) / 2, abs=2)  # half have a look-alike, in their own subset
    gaits = np.array([walkers.frequencies(world, pid, "") for pid, _ in persons(world)])
    assert len(np.unique(gaits, axis=0)) == len(gaits)


def test_only_appearance_tells_people_apart():
    world = walkers.parse("walkers-appearance")
    everyone = persons(world)
    looks = [{walkers.look(world, pid, tracklet) for tracklet in tracklets} for pid, tracklets in everyone]
    assert all(len(own) == 1 for own in looks)
    assert len(set.union(*looks)) == len(everyone)
    gaits = [[walkers.frequencies(world, pid, tracklet) for tracklet in tracklets] for pid, tracklets in everyone]
    assert len({tuple(gait) for own in gaits for gait in own}) == sum(map(len, gaits))
    # A person's tracklets agree no more than anyone's: the variance within is the variance of all.
    within = np.mean([np.var(own, axis=0, ddof=1) for own in gaits if len(own) > 1], axis=0)
    assert within == pytest.approx(np.var(np.concatenate(gaits), axis=0), rel=0.15)


def test_only_gait_tells_people_apart():
    world = walkers.parse("walkers-gait")
    everyone = persons(world)
    assert len({walkers.look(world, pid, tracklet) for pid, tracklets in everyone for tracklet in tracklets}) == 1
    gaits = [
        {tuple(walkers.frequencies(world, pid, tracklet)) for tracklet in tracklets} for pid, tracklets in everyone
    ]
    assert all(len(own) == 1 for own in gaits)
    assert len(set.union(*gaits)) == len(everyone)
    # The cues are independent of each other, and below the Nyquist frequency.
    values = np.array([next(iter(own)) for own in gaits])
    assert values.min() > 0
    assert values.max() < 0.5
    assert np.abs(np.corrcoef(values.T) - np.eye(values.shape[1])).max() < 0.25


def test_a_set_of_poses_does_not_tell_the_gait():
    """At a random start, the pose of a single frame has the same distribution at any frequency."""
    world = walkers.parse("walkers-gait")
    poses = []
    for pid in (1, 2):
        starts = np.random.default_rng(pid).uniform(0, 2 * np.pi, (4000, 4))
        phases = starts + 2 * np.pi * walkers.frequencies(world, pid, "") * 5
        points, _ = puppets.outlines(puppets.UNIFORM, phases, 1.2, 0.2)
        poses.append(np.sort(points.reshape(len(points), -1), axis=0))
    spread = poses[0].std(0).max()
    assert np.abs(poses[0] - poses[1]).mean() < 0.02 * spread


def test_every_cue_moves_the_outline_in_every_direction_of_view():
    for azimuth in (0.3, 0.8, 1.5, 2.5):
        still, _ = puppets.outlines(puppets.UNIFORM, np.zeros((1, 4)), azimuth, 0.2)
        for cue in range(len(puppets.CUES)):
            phases = np.zeros((1, 4))
            phases[0, cue] = np.pi / 2
            moved, _ = puppets.outlines(puppets.UNIFORM, phases, azimuth, 0.2)
            assert np.abs(moved - still).max() * 64 > 1, (azimuth, puppets.CUES[cue])  # a pixel at 64 x 32


def test_the_walker_stands_on_the_ground_and_has_the_height_it_should():
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (100, 4))
    for height in (0.9, 1.0, 1.1):
        points, _ = puppets.outlines(dataclasses.replace(puppets.UNIFORM, height=height), phases, np.pi / 2, 0.0)
        tall = points[..., 1].max((1, 2)) - points[..., 1].min((1, 2))
        assert tall.mean() == pytest.approx(height, rel=0.05)
        assert np.abs(points[..., 1].max((1, 2))).max() < 0.1


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("walkers-gate", "did you mean 'walkers-gait'"),
        ("walker", "did you mean 'walkers'"),
        ("walkers:dmo", "did you mean 'demo'"),
        ("walkers@2:marz", "did you mean 'mars'"),
        ("walkers@two", "walkers@2"),
        ("walkers@0", "numbered from 1"),
        ("walkers@", "numbered from 1"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_right_one(name, answer):
    with pytest.raises(UserError, match=answer):
        walkers.parse(name)


def test_names_and_worlds():
    assert walkers.parse("walkers") == walkers.World("walkers", 1, "demo")
    assert walkers.parse("walkers-gait@12:tiny") == walkers.World("walkers-gait", 12, "tiny")
    assert walkers.parse(str(walkers.parse("walkers@3"))) == walkers.World("walkers", 3, "demo")


def test_read_finds_the_table_and_says_what_is_missing(tmp_path):
    table = walkers.table(TINY["walkers"])
    with pytest.raises(UserError, match=r"table\.parquet"):
        walkers.Walkers().read(tmp_path, 0)
    table.to_parquet(tmp_path / walkers.TABLE)
    again = walkers.Walkers().read(tmp_path, 0)
    assert digest(again, {}) == digest(table, {})
