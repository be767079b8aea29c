"""An exported data set equals its source, for our readers and by the conventions of the original."""

import json
import math
import re
import shlex
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import scipy.io

from baselines import BASELINES
from baselines.interface.errors import UserError
from benchmarks.data.export_layouts import LAYOUTS, export
from benchmarks.data.loading import load
from benchmarks.data.table import make_table, statistics
from benchmarks.engine.run import Machine, plan, run
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records, read_record

ILIDS_SPLITS = "train-test people splits/train_test_splits_ilidsvid.mat"
NAMES = {
    "mars": r"bbox_(train|test)/(00-1|\d{4})/\2C[1-6]T\d{4}F\d{3}\.jpg"
    r"|info/(train_name\.txt|test_name\.txt|tracks_train_info\.mat|tracks_test_info\.mat|query_IDX\.mat)",
    "dukev": r"(train|query|gallery)/(\d{4})/\d{4}/\2_C[1-8]_F\d{4}_X\d{5}\.jpg",
    "lsvid": r"tracklet_(train|test)/(\d{4})/\2_\d{4}_\d{2}_\d{4}\.jpg|list_sequence/list_seq_(train|test)\.txt|test/query\.npy",
    "ilidsvid": r"i-LIDS-VID/sequences/(cam[12])/(person\d{3})/\1_\2_\d{5}\.png|" + re.escape(ILIDS_SPLITS),
    "prid2011": r"prid_2011/multi_shot/cam_[ab]/person_\d{4}/\d{4}\.png|splits_prid2011\.json",
}


@pytest.fixture(scope="module")
def walkers(_own_cache):
    return load("walkers:tiny")


@pytest.fixture(scope="module")
def roots(walkers, tmp_path_factory):
    """walkers:tiny in every layout."""
    place = tmp_path_factory.mktemp("layouts")
    for layout in LAYOUTS:
        export(walkers, layout, place / layout)
    return {layout: place / layout for layout in LAYOUTS}


def views(data, subsets=("train", "query", "gallery")):
    """The number of each tracklet: subset, person, camera, and the bytes of its frames in order."""
    rows = data.table[data.table.subset.isin(subsets)].itertuples()
    return Counter((r.subset, r.pid, r.camid, tuple(bytes(data.store.read(name)) for name in r.frames)) for r in rows)


def files(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def folders_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


@pytest.mark.parametrize("layout", NAMES)
def test_files_are_named_as_the_original(roots, layout):
    found = files(roots[layout])
    assert [name for name in found if not re.fullmatch(NAMES[layout], name)] == []
    frames = [name for frames in load(layout, root=roots[layout]).table.frames for name in frames]
    assert set(frames) <= set(found)


def test_mars_keeps_everything(walkers, roots):
    there = load("mars", root=roots["mars"])
    assert views(there) == views(walkers)
    counts = statistics(there.table)
    assert counts == statistics(walkers.table)
    assert counts["gallery"]["junk"] > 0
    assert counts["gallery"]["distractors"] > 0


def test_dukev_keeps_all_but_junk(walkers, roots):
    there = load("dukev", root=roots["dukev"])
    assert views(there) == views(replace(walkers, table=walkers.table[walkers.table.pid >= 0]))
    assert statistics(there.table)["gallery"]["distractors"] == statistics(walkers.table)["gallery"]["distractors"] > 0
    # A query and a gallery tracklet of the same person, camera and length are told apart.
    assert "already holds 0 of" in there.dataset.notes(there.table)[0]


def test_lsvid_keeps_all_but_junk(walkers, roots):
    there = load("lsvid", root=roots["lsvid"])
    assert views(there) == views(replace(walkers, table=walkers.table[walkers.table.pid >= 0]))


def test_mars_tables_suit_its_evaluation_code(walkers, roots):
    info = roots["mars"] / "info"
    for half in ("train", "test"):
        names = (info / f"{half}_name.txt").read_text().split()
        rows = scipy.io.loadmat(info / f"tracks_{half}_info.mat")[f"track_{half}_info"]
        first, last, pids, cameras = rows.T
        assert first[0] == 1  # 1-based, inclusive, one tracklet after the other
        assert (first[1:] == last[:-1] + 1).all()
        assert last[-1] == len(names)
        assert names == sorted(names)  # junk's 00-1 first, then the distractors' 0000, then people
        assert (
            len(names)
            == len(set(names))
            == sum(name.endswith(".jpg") for name in files(roots["mars"] / f"bbox_{half}"))
        )
        for start, end, pid, camera in zip(first, last, pids, cameras, strict=True):
            tracklet = names[start - 1 : end]
            assert len({name[:11] for name in tracklet}) == 1
            assert {int(name.replace("00-1", "-001")[:4]) for name in tracklet} == {pid}
            assert {int(name[5]) for name in tracklet} == {camera}
            assert [int(name[12:15]) for name in tracklet] == list(range(1, end - start + 2))
    asked = scipy.io.loadmat(info / "query_IDX.mat")["query_IDX"]
    assert asked.shape == (1, (walkers.table.subset == "query").sum())
    queries = walkers.table[walkers.table.subset == "query"]
    assert Counter(map(tuple, rows[asked[0] - 1, 2:])) == Counter(zip(queries.pid, queries.camid, strict=True))


def pairs(walkers):
    """By brute force: the two cameras that share most persons, without distractors, and these persons."""
    people = walkers.table[walkers.table.pid > 0]
    seen = people.groupby("camid").pid.agg(set)
    return max(
        ((pair, seen[pair[0]] & seen[pair[1]]) for pair in combinations(sorted(seen.index), 2)), key=lambda p: len(p[1])
    )


@pytest.mark.parametrize("layout", ["ilidsvid", "prid2011"])
def test_two_cameras_get_the_longest_tracklets(walkers, roots, layout):
    cameras, persons = pairs(walkers)
    source = walkers.table
    tests = set()
    for split in range(10):
        there = load(layout, split, roots[layout])
        subsets = dict(iter(there.table.groupby("subset")))
        assert set(subsets["query"].camid) == {1}
        assert set(subsets["gallery"].camid) == {2}
        assert list(subsets["query"].pid) == list(subsets["gallery"].pid)
        assert {*subsets["train"].pid, *subsets["query"].pid} == persons
        assert len(subsets["query"]) == len(persons) // 2
        assert not there.table.duplicated(["pid", "camid"]).any()
        tests.add(frozenset(subsets["query"].pid))
    assert len(tests) > 5  # ten random splits, of which two may agree
    for row in there.table.itertuples():
        candidates = source[(source.pid == row.pid) & (source.camid == cameras[row.camid - 1])]
        longest = candidates.frames[candidates.frames.map(len).idxmax()]
        assert [there.store.read(name) for name in row.frames] == [bytes(walkers.store.read(name)) for name in longest]


def test_ilidsvid_splits_index_sorted_folders(roots):
    root = roots["ilidsvid"]
    places = scipy.io.loadmat(root / ILIDS_SPLITS)["ls_set"]
    folders = folders_in(root / "i-LIDS-VID/sequences/cam1")
    assert folders == folders_in(root / "i-LIDS-VID/sequences/cam2")
    assert (np.sort(places, axis=1) == np.arange(1, len(folders) + 1)).all()
    assert len(places) == 10
    for split, order in enumerate(places):
        table = load("ilidsvid", split, root).table
        test = {int(folders[place - 1].removeprefix("person")) for place in order[: len(folders) // 2]}
        assert set(table.pid[table.subset == "query"]) == test


def test_prid2011_splits_name_every_folder_once(roots):
    splits = json.loads((roots["prid2011"] / "splits_prid2011.json").read_text())
    folders = folders_in(roots["prid2011"] / "prid_2011/multi_shot/cam_a")
    assert len(splits) == 10
    for split in splits:
        assert set(split) == {"train", "test"}
        assert sorted(split["train"] + split["test"]) == folders
        assert len(split["test"]) == len(folders) // 2


@pytest.mark.parametrize("layout", NAMES)
def test_export_is_reproducible(walkers, roots, layout, tmp_path):
    (tmp_path / "again").mkdir()  # an empty folder is accepted
    steps = []
    export(walkers, layout, tmp_path / "again", lambda done, total: steps.append((done, total)))
    assert files(tmp_path / "again") == files(roots[layout])
    for split in (0, load(layout, root=roots[layout]).dataset.splits - 1):
        assert load(layout, split, tmp_path / "again").digest == load(layout, split, roots[layout]).digest
    images = sum(name.endswith((".jpg", ".png")) for name in files(roots[layout]))
    assert steps == [(n, images) for n in range(1, images + 1)]


def test_failed_export_leaves_nothing(walkers, tmp_path):
    class Failing:
        def read(self, name):
            if name == walkers.table.frames.iloc[-1][-1]:
                raise UserError(f"{name}: gone")
            return walkers.store.read(name)

    with pytest.raises(UserError, match="gone"):
        export(replace(walkers, store=Failing()), "mars", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_folder_with_files_is_refused(walkers, tmp_path):
    (tmp_path / "mine").write_text("mine")
    for place in (tmp_path, tmp_path / "mine"):
        with pytest.raises(UserError, match=f"--to {place}: exists and is not an empty folder"):
            export(walkers, "mars", place)
    assert files(tmp_path) == ["mine"]
    assert (tmp_path / "mine").read_text() == "mine"


def test_unknown_layout_suggests_the_closest(walkers, tmp_path):
    with pytest.raises(UserError, match="--layout prid: no such layout; did you mean 'prid2011'"):
        export(walkers, "prid", tmp_path / "out")


@pytest.mark.parametrize("layout", ["ilidsvid", "prid2011"])
def test_two_cameras_share_most_persons(walkers, tmp_path, layout):
    seen = {1: (1, 2, 5), 2: (1, 2, 5), 3: (2, 5), 4: (2, 5), 6: (1, 2)}
    rows = [("train", pid, camid, f"{pid}C{camid}", [f"{pid}C{camid}"]) for pid in seen for camid in seen[pid]]

    class Names:
        def read(self, name):
            return name.encode()

    export(replace(walkers, table=make_table(rows), store=Names()), layout, tmp_path / "out")
    there = load(layout, root=tmp_path / "out")
    found = {(row.pid, row.camid, bytes(there.store.read(row.frames[0])).decode()) for row in there.table.itertuples()}
    assert found == {(pid, place, f"{pid}C{camid}") for pid in (1, 2, 3, 4) for place, camid in ((1, 2), (2, 5))}


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("mars", {"camid": 10}, "camera 10, where names have 1 digit;"),
        ("dukev", {"camid": 10}, "camera 10, where names have 1 digit;"),
        ("lsvid", {"camid": 100}, "camera 100, where names have 2 digits"),
        ("mars", {"pid": 10_000}, "person 10000, where names have 4 digits"),
        ("ilidsvid", {"pid": 1000}, "person 1000, where names have 3 digits"),
        ("mars", {"frames": [f"{n:04d}" for n in range(1000)]}, "frame 1000, where names have 3 digits"),
        ("ilidsvid", {"camid": 3}, "3 persons are seen by the same two cameras"),
        ("prid2011", {"camid": 3}, "3 persons are seen by the same two cameras"),
    ],
)
def test_data_set_that_does_not_fit_is_refused(walkers, tmp_path, layout, change, message):
    rows = [(pid, camid, ["a"]) for pid in (1, 2, 3, 4) for camid in (1, 2)]
    rows[-1] = (change.get("pid", 4), change.get("camid", 2), change.get("frames", ["a"]))
    if "pid" in change:
        rows[-2] = (change["pid"], 1, ["a"])
    table = make_table(("train", pid, camid, f"{pid}-{camid}", frames) for pid, camid, frames in rows)
    with pytest.raises(UserError, match=f"--layout {layout}: cannot hold mine: {message}.*choose another"):
        export(replace(walkers, name="mine", table=table), layout, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_command_prints_the_next_command(bench, tmp_path):
    words = ("data", "export", "walkers:tiny", "--to", tmp_path / "out dir", "--layout")
    answer = bench(*words, "prid2011")
    assert answer.status == 0, answer.err
    command, *further = shlex.split(answer.out)
    assert command == "bench"
    assert bench(*further, "--epochs", "0").status == 0
    for layout in ("prid2011", "prid"):
        refused = bench(*words, layout)
        assert refused.status == 2
        assert refused.err.splitlines()[-1].startswith(f"bench: --{'to' if layout == 'prid2011' else 'layout'} ")


def test_every_baseline_runs_on_every_layout(walkers, results, tmp_path):
    short = replace(walkers, table=walkers.table.assign(frames=[frames[:3] for frames in walkers.table.frames]))
    changes = [
        "backbone=small",
        "epochs=1",
        "height=32",
        "width=16",
        "clip_frames=2",
        "identities=2",
        "clips=2",
        "threads=1",
    ]
    # Without plug-ins, which other tests may have registered.
    baselines = [name for name in BASELINES.names() if BASELINES.entries[name].module.startswith("baselines.")]

    def report(*_, **__):
        pass

    layouts = [name for name in LAYOUTS if name != "lsvid"]  # whose table has nothing that the one of MARS has not
    for layout in layouts:
        root = tmp_path / layout
        export(short, layout, root)
        people = sorted(set(load(layout, 0, root).table.pid) - {-1, 0})
        (root / "attributes.csv").write_text("pid,hat\n" + "".join(f"{pid},{pid % 2}\n" for pid in people))
        for baseline in baselines:
            experiment, resolved, data = plan(
                f"{baseline}+afa", layout, recipe="small", changes=changes, seed=0, split=0, root=root, report=report
            )
            folder = RunFolder(results / experiment.name)
            run(experiment, resolved, data, folder, Machine(0, 10, report))
            record = read_record(folder)
            assert record is not None
            assert {row.protocol for row in record.metrics} == set(data.protocols)
            values = [getattr(row, metric) for row in record.metrics for metric in ("R1", "R5", "R10", "R20", "mAP")]
            assert all(math.isfinite(value) and 0 <= value <= 1 for value in values), (baseline, layout)
            assert record.phases["train"].items > 0
    assert len(load_records(results)) == len(baselines) * len(layouts)
