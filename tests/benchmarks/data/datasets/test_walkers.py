"""The drawn walkers: a name gives the same bytes however it is drawn, and identity lies where each kind says."""

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import simplejpeg

from baselines.interface.errors import UserError
from benchmarks.data import puppets
from benchmarks.data.datasets.walkers import SIZES, Walkers
from benchmarks.data.find import find_dataset, full_name
from benchmarks.data.loading import load
from benchmarks.data.table import check, digest, statistics
from benchmarks.experiments.code_digest import GOLDEN
from benchmarks.maintenance import golden_runs

KINDS = ("walkers", "walkers-appearance", "walkers-gait")


def named(name: str) -> Walkers:
    dataset = find_dataset(name)
    assert isinstance(dataset, Walkers)
    return dataset


TINY = {kind: named(f"{kind}:tiny") for kind in KINDS}


def drawn(world: Walkers, rows: pd.DataFrame) -> dict[str, list[bytes]]:
    return {row.tracklet: list(world.draw(row)) for row in rows.itertuples(index=False)}


def frames(world: Walkers) -> Iterator[tuple[str, bytes]]:
    return (frame for row in world.tracklets().itertuples(index=False) for frame in world.named_frames(row))


def persons(world: Walkers) -> list[tuple[int, list[str]]]:
    table = world.tracklets()
    return [(pid, list(part.tracklet)) for pid, part in table[table.pid > 0].groupby("pid")]


@pytest.mark.parametrize("world", TINY.values(), ids=TINY)
def test_same_bytes_in_any_order(world):
    whole = list(frames(world))
    assert list(frames(world)) == whole
    backwards = drawn(world, world.tracklets().iloc[::-1])
    in_order = [data for tracklet in world.tracklets().tracklet for data in backwards[tracklet]]
    assert in_order == [data for _, data in whole]


def test_worlds_and_kinds_differ():
    images = {name: dict(frames(named(name))) for name in ("walkers:tiny", "walkers@2:tiny", "walkers-gait:tiny")}
    first = images.pop("walkers:tiny")
    for other in images.values():
        common = first.keys() & other.keys()
        assert common
        assert all(first[name] != other[name] for name in common)


def test_another_world_has_other_people():
    for kind in ("walkers", "walkers-gait"):
        one, two = named(kind), named(f"{kind}@2")
        assert (one.frequencies(1, "") != two.frequencies(1, "")).all()
    for kind in ("walkers", "walkers-appearance"):
        one, two = named(kind), named(f"{kind}@2")
        assert one.look(1, "") != two.look(1, "")


def test_frame_names_are_those_of_mars():
    world = TINY["walkers"]
    table = world.tracklets()
    names = [name for name, _ in frames(world)]
    assert names == [name for frames in table.frames for name in frames]
    assert len(set(names)) == len(names)
    for row in table.itertuples():
        person = "00-1" if row.pid == -1 else f"{row.pid:04d}"
        assert all(name.startswith(f"{person}C{row.camid}T") and name.endswith(".jpg") for name in row.frames)


@pytest.mark.parametrize("size", ["tiny", "demo", "mars"])
def test_counts_are_those_of_the_size(size):
    world = named(f"walkers:{size}")
    table = check(world.tracklets(), "walkers")
    counts, wanted = statistics(table), SIZES[size]
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
    if size == "mars":  # the counts of the original
        assert len(train) == pytest.approx(8298, rel=0.05)
        assert len(query) == pytest.approx(1980, rel=0.05)
        assert len(gallery) == pytest.approx(10200, rel=0.05)


@pytest.mark.parametrize("size", ["tiny", "demo", "mars"])
def test_queries_match_across_cameras(size):
    table = named(f"walkers:{size}").tracklets()
    query, gallery = table[table.subset == "query"], table[table.subset == "gallery"]
    with_query = table[table.subset != "train"]

    def matched(pool):
        cameras = pool.groupby("pid").camid.agg(set)
        return np.mean([bool(cameras.get(row.pid, set()) - {row.camid}) for row in query.itertuples()])

    assert matched(with_query) == 1
    assert matched(gallery) >= 0.9


def test_frames_have_the_size():
    for name, shape in (("walkers:tiny", (64, 32, 3)), ("walkers:mars", (256, 128, 3))):
        world = named(name)
        row = next(world.tracklets().itertuples(index=False))
        images = [simplejpeg.decode_jpeg(data) for _, data in world.named_frames(row)]
        assert len(images) == len(row.frames)
        assert {image.shape for image in images} == {shape}
        assert all(image.std() > 5 for image in images)


def test_pixels_do_not_change_the_people():
    world = named("walkers:tiny-96x48")
    assert world.tracklets().to_dict("records") == TINY["walkers"].tracklets().to_dict("records")
    _, data = next(frames(world))
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
def test_full_name_is_the_shortest(name, shortest):
    assert full_name(name) == shortest
    assert named(shortest) == named(name)


def test_digest_differs_by_kind():
    def name(world):
        return digest(world.tracklets(), {frame: len(data) for frame, data in frames(world)})

    names = {kind: name(world) for kind, world in TINY.items()}
    assert len(set(names.values())) == len(names)
    assert name(TINY["walkers"]) == names["walkers"]


def test_look_alikes_differ_in_gait():
    world = named("walkers")
    size = SIZES["demo"]
    groups: dict[tuple[bool, puppets.Look], list[int]] = {}
    for pid, tracklets in persons(world):
        looks = {world.look(pid, tracklet) for tracklet in tracklets}
        gaits = {tuple(world.frequencies(pid, tracklet)) for tracklet in tracklets}
        assert len(looks) == len(gaits) == 1
        groups.setdefault((pid <= size.train, looks.pop()), []).append(pid)
    assert {len(group) for group in groups.values()} == {1, 2}
    alike = sum(len(group) for group in groups.values() if len(group) == 2)
    assert alike == pytest.approx((size.train + size.test) / 2, abs=2)  # half have a look-alike, in the same subset
    gaits = np.array([world.frequencies(pid, "") for pid, _ in persons(world)])
    assert len(np.unique(gaits, axis=0)) == len(gaits)


def test_only_appearance_tells_people_apart():
    world = named("walkers-appearance")
    everyone = persons(world)
    looks = [{world.look(pid, tracklet) for tracklet in tracklets} for pid, tracklets in everyone]
    assert all(len(own) == 1 for own in looks)
    assert len(set.union(*looks)) == len(everyone)
    gaits = [[world.frequencies(pid, tracklet) for tracklet in tracklets] for pid, tracklets in everyone]
    assert len({tuple(gait) for own in gaits for gait in own}) == sum(map(len, gaits))
    # A person's tracklets agree no more than those of different persons: the variance within equals the total variance.
    within = np.mean([np.var(own, axis=0, ddof=1) for own in gaits if len(own) > 1], axis=0)
    assert within == pytest.approx(np.var(np.concatenate(gaits), axis=0), rel=0.15)


def test_only_gait_tells_people_apart():
    world = named("walkers-gait")
    everyone = persons(world)
    assert len({world.look(pid, tracklet) for pid, tracklets in everyone for tracklet in tracklets}) == 1
    gaits = [{tuple(world.frequencies(pid, tracklet)) for tracklet in tracklets} for pid, tracklets in everyone]
    assert all(len(own) == 1 for own in gaits)
    assert len(set.union(*gaits)) == len(everyone)
    # The cues are independent of each other, and below the Nyquist frequency.
    values = np.array([next(iter(own)) for own in gaits])
    assert values.min() > 0
    assert values.max() < 0.5
    assert np.abs(np.corrcoef(values.T) - np.eye(values.shape[1])).max() < 0.25


def test_poses_do_not_reveal_the_gait():
    """At a random start, the pose of a single frame has the same distribution at any frequency."""
    world = named("walkers-gait")
    poses = []
    for pid in (1, 2):
        starts = np.random.default_rng(pid).uniform(0, 2 * np.pi, (4000, 4))
        phases = starts + 2 * np.pi * world.frequencies(pid, "") * 5
        points, _ = puppets.outlines(puppets.UNIFORM, phases, 1.2, 0.2)
        poses.append(np.sort(points.reshape(len(points), -1), axis=0))
    spread = poses[0].std(0).max()
    assert np.abs(poses[0] - poses[1]).mean() < 0.02 * spread


def test_every_cue_is_visible():
    for azimuth in (0.3, 0.8, 1.5, 2.5):
        still, _ = puppets.outlines(puppets.UNIFORM, np.zeros((1, 4)), azimuth, 0.2)
        for cue in range(len(puppets.CUES)):
            phases = np.zeros((1, 4))
            phases[0, cue] = np.pi / 2
            moved, _ = puppets.outlines(puppets.UNIFORM, phases, azimuth, 0.2)
            assert np.abs(moved - still).max() * 64 > 1, (azimuth, puppets.CUES[cue])  # one pixel at 64 x 32


def test_height_and_feet():
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
def test_wrong_name_suggests_the_closest(name, answer):
    with pytest.raises(UserError, match=answer):
        named(name)


def test_from_name():
    assert named("walkers") == Walkers("walkers", 1, "demo")
    assert named("walkers-gait@12:tiny") == Walkers("walkers-gait", 12, "tiny")
    assert named("walkers:tiny").another_world() == named("walkers@2:tiny")


# Part of the name of every run on drawn data. Other builds of OpenCV may draw other bits.
SAME_MACHINE = golden_runs.is_this_machine(json.loads(GOLDEN.read_text())["machine"])
DIGESTS = {
    "walkers:tiny": "9b8bcc2345a1fa98ace7893d82c0218025a651f2667e3f4f7dcb046f8a6ba8df",
    "walkers-gait:tiny": "57834134db95dc341f5a7e3e8ba0f97abcef9e12e3505accca6f815a6d497fab",
    "walkers-appearance:tiny": "3625095a663d80879a8456411f744109ebb3536cead5bd62d85b6f236c107d28",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_digest_has_not_changed(name):
    digest = load(name).digest
    assert digest == DIGESTS[name] or (len(digest) == 64 and not SAME_MACHINE)
