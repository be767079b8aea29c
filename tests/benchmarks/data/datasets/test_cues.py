"""The worlds of `cues`: a known share of the people can be told apart by gait alone, and the others by clothes alone."""

from itertools import islice, pairwise

import numpy as np
import pytest
import simplejpeg

from baselines.interface.errors import UserError
from benchmarks.data import puppets
from benchmarks.data.datasets.cues import SHARES, Cues
from benchmarks.data.datasets.walkers import LABORATORY
from benchmarks.data.find import find_dataset, full_name
from benchmarks.data.table import check, statistics


def named(name: str) -> Cues:
    dataset = find_dataset(name)
    assert isinstance(dataset, Cues)
    return dataset


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(("subset", "people"), [("train", 120), ("query", 100)])
def test_share_of_people_known_by_gait_alone(share, subset, people):
    world = named(f"cues:{share}")
    table = world.tracklets()
    gait, clothes = 0, 0
    for pid, part in table[table.subset == subset].groupby("pid"):
        looks = {world.look(pid, tracklet) for tracklet in part.tracklet}
        gaits = {tuple(world.frequencies(pid, tracklet)) for tracklet in part.tracklet}
        assert len(looks) == 1
        gait += looks == {puppets.UNIFORM} and len(gaits) == 1
        clothes += looks != {puppets.UNIFORM} and len(gaits) == len(part) > 1
    assert (100 * gait / people, 100 * clothes / people) == (share, 100 - share)


def test_nothing_else_differs():
    worlds = [named(f"cues:{share}") for share in SHARES]
    tables = [world.tracklets() for world in worlds]
    assert all(table.to_dict("records") == tables[0].to_dict("records") for table in tables)
    assert {world.nuisance for world in worlds} == {LABORATORY}
    by_gait = [{pid for pid in range(1, 221) if world.is_of_gait(pid)} for world in worlds]
    assert all(fewer < more for fewer, more in pairwise(by_gait))
    row = next(tables[0].query("pid == 1").itertuples(index=False))  # of gait from 25 on
    images = [list(world.draw(row)) for world in worlds]
    assert images[0] != images[1] == images[2] == images[3] == images[4]


def test_hard_world_has_the_same_people():
    easy, hard = named("cues:50"), named("cues:50-hard")
    assert easy.tracklets().to_dict("records") == hard.tracklets().to_dict("records")
    for row in islice(easy.tracklets().itertuples(index=False), 0, 200, 20):
        assert easy.look(row.pid, row.tracklet) == hard.look(row.pid, row.tracklet)
        assert (easy.frequencies(row.pid, row.tracklet) == hard.frequencies(row.pid, row.tracklet)).all()
        assert next(iter(easy.draw(row))) != next(iter(hard.draw(row)))


def found_first(vectors, table):
    """The share of tracklets whose nearest one of another number, in any camera, shows the same person."""
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    pids = table.pid.to_numpy()
    return float((pids[distances.argmin(1)] == pids).mean())


@pytest.mark.parametrize(("share", "by_colour", "by_gait"), [(0, True, False), (100, False, True)])
def test_what_tells_people_apart(share, by_colour, by_gait):
    """Of test persons in one camera, where colours are comparable: three tracklets a person at most."""
    world = named(f"cues:{share}")
    table = world.tracklets()
    table = table[(table.subset != "train") & (table.camid == 1)]
    table = table[table.groupby("pid").tracklet.transform("size").between(2, 3)]
    people = table.pid.nunique()
    assert people > 35
    colours = []
    for row in table.itertuples(index=False):
        frames = [simplejpeg.decode_jpeg(data) for data in islice(world.draw(row), 3)]
        body = np.mean(frames, axis=0)[:, 12:20].mean(1)  # (64, 3), from head to feet
        colours.append(np.log(body.reshape(8, 8, 3).mean(1)).ravel())
    gaits = np.array([world.frequencies(row.pid, row.tracklet) for row in table.itertuples()])
    chance = 2 / people
    colour, gait = found_first(np.array(colours), table), found_first(gaits, table)
    assert colour > 0.5 if by_colour else colour < 3 * chance
    assert gait == 1 if by_gait else gait < 3 * chance


@pytest.mark.parametrize(
    ("name", "shortest"),
    [
        ("cues", "cues:50"),
        ("cues:25", "cues:25"),
        ("cues@1:100-hard-cues", "cues:100-hard"),
        ("cues@2:0-hard-tiny-32x16", "cues@2:0-hard-tiny-32x16"),
        ("cues:75-96x48", "cues:75-96x48"),
    ],
)
def test_names(name, shortest):
    assert full_name(name) == shortest
    assert named(shortest) == named(name)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("cues:30", "shares are 0, 25"),
        ("cues:hard", "cues:25-hard"),
        ("cues:", "shares are 0, 25"),
        ("cues:25-tny", "did you mean 'tiny'"),
        ("cues@0:25", "numbered from 1"),
        ("cues:" + "9" * 5000, "at most 200 characters"),
    ],
)
def test_wrong_names(name, answer):
    with pytest.raises(UserError, match=answer):
        named(name)


def test_size():
    world = named("cues:25")
    counts = statistics(check(world.tracklets(), "cues"))
    assert (counts["train"]["identities"], counts["query"]["identities"]) == (120, 100)
    assert world.another_world() == named("cues@2:25")
