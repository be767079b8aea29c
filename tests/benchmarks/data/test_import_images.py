"""A folder of images becomes a data set: its subsets, splits and frames, mostly by a pattern of the paths."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from baselines.interface.errors import UserError
from benchmarks.data import imported_folder
from benchmarks.data.export_layouts import export
from benchmarks.data.import_images import import_images
from benchmarks.data.imported import ImportedDataset
from benchmarks.data.loading import load
from benchmarks.runs.store import load_records

PATTERN = r".*/(?P<pid>\d+)C(?P<camid>\d+)T(?P<tracklet>\d+)F(?P<frame>\d+)\.(png|jpg)"
# Four people with two tracklets in camera 1 and one in camera 2; one person in camera 1 alone.
PEOPLE = [(pid, camid, tracklet) for pid in (1, 2, 3, 4) for camid, tracklet in ((1, 1), (1, 2), (2, 1))] + [(5, 1, 1)]


def paths(people=PEOPLE, frames=(9, 10)):
    return [f"{pid}/{pid}C{camid}T{tracklet}F{frame}.png" for pid, camid, tracklet in people for frame in frames]


@pytest.fixture
def bring(bring_images):
    """`bring(rows, **options)` imports the images by a CSV of those rows or, without them, by PATTERN."""

    def call(rows=None, **options):
        by = {"pattern": PATTERN} if rows is None else {"rows": rows}
        return bring_images(**{**by, **options})

    return call


def names(table, subset):
    return sorted(table.tracklet[table.subset == subset])


def test_queries_are_chosen_as_in_mars(draw, bring):
    draw(*paths())
    table = bring()
    train, test = (sorted(set(table.pid[table.subset == subset])) for subset in ("train", "query"))
    assert sorted(train + test) == [1, 2, 3, 4]
    assert len(train) == 2
    assert names(table, "train") == [f"000{pid}{end}" for pid in train for end in ("C1T1", "C1T2", "C2T1")]
    assert names(table, "query") == [f"000{pid}{end}" for pid in test for end in ("C1T1", "C2T1")]
    assert names(table, "gallery") == [
        *(f"000{pid}C1T2" for pid in test),
        "0005C1T1",
    ]  # 5 is in one camera: a distractor


def test_queries_of_the_first_camera(draw, bring):
    draw(*paths())
    table = bring(queries="first-camera")
    test = sorted(set(table.pid[table.subset == "query"]))
    assert names(table, "query") == [f"000{pid}C1T1" for pid in test]
    assert names(table, "gallery") == [f"000{pid}{end}" for pid in test for end in ("C1T2", "C2T1")] + ["0005C1T1"]


def test_one_tracklet_a_camera_needs_a_query_camera(draw, bring):
    draw(*paths([(pid, camid, 1) for pid in (1, 2, 3) for camid in (1, 2)]))
    with pytest.raises(
        UserError, match=r"no query of split 0 shows a person of the gallery .*use --queries first-camera"
    ):
        bring()
    assert len(names(bring(queries="first-camera"), "gallery")) == 1


def test_splits_divide_persons(draw, bring):
    people = [(pid, camid, tracklet) for pid in range(1, 13) for camid in (1, 2) for tracklet in (1, 2)]
    draw(*paths([*people, (99, 1, 1)], frames=(1,)))

    def training(name, **options):
        bring(name=name, train_share=1 / 3, **options)
        loaded = [load(name, split) for split in range(ImportedDataset(name).splits)]
        assert [each.split for each in loaded] == list(range(len(loaded)))
        assert len({each.digest for each in loaded}) == 1  # one table and one pack
        for table in (each.table for each in loaded):
            train, test = (set(table.pid[table.subset == subset]) for subset in ("train", "query"))
            assert not train & test
            assert train | test == set(range(1, 13))
            assert 99 in set(table.pid[table.subset == "gallery"])
        return [frozenset(each.table.pid[each.table.subset == "train"]) for each in loaded]

    five = training("five", splits=5)
    assert len(set(five)) == 5
    assert {len(persons) for persons in five} == {4}
    assert training("three", splits=3) == five[:3]
    assert training("other", splits=5, seed=1) != five
    with pytest.raises(UserError, match="--split 5: five has splits 0 to 4"):
        load("five", 5)


def test_other_splits_are_other_data(draw, bring):
    draw(*paths())
    for seed in (0, 1):
        bring(name=f"seed{seed}", splits=3, seed=seed)
    assert load("seed0").digest != load("seed1").digest


def test_frames_are_in_numerical_order(draw, bring):
    images = draw(*paths(), "1/7C1T1F9.png", "0/7C1T1F10.png", "2/7C1T1F2.png")
    bring()
    (tracklet,) = (row for row in load("mine").table.itertuples() if row.pid == 7)
    expected = [(images / f"{name}.png").read_bytes() for name in ("2/7C1T1F2", "1/7C1T1F9", "0/7C1T1F10")]
    assert [bytes(load("mine").store.read(name)) for name in tracklet.frames] == expected


def test_subset_test_is_divided(draw, bring):
    draw(*(f"train/{path}" for path in paths([(1, 1, 1)])), *(f"test/{path}" for path in paths(PEOPLE[3:6])))
    table = bring(pattern=r"(?P<subset>\w+)/" + PATTERN)
    assert names(table, "train") == ["0001C1T1"]
    assert names(table, "query") == ["0002C1T1", "0002C2T1"]
    assert names(table, "gallery") == ["0002C1T2"]


def test_names_are_numbered(draw, bring):
    draw(
        *(f"{who}/{where}/{number}.png" for who in ("bo", "al", "cy") for where in ("in", "door") for number in (1, 2))
    )
    table = bring(pattern=r"(?P<pid>\w+)/(?P<camid>\w+)/.*", queries="first-camera")
    assert sorted(set(table.pid)) == [1, 2, 3]
    assert sorted(set(table.camid)) == [1, 2]
    about = json.loads((imported_folder("mine") / "import.json").read_text())
    assert about["numbers_of_names"] == {"pid": {"al": 1, "bo": 2, "cy": 3}, "camid": {"door": 1, "in": 2}}


def test_layout_of_ccvid(draw, bring):
    """The pattern in docs/own-data.md."""
    draw(
        *(
            f"session{s}/00{pid}_0{camid}/0000{n}.jpg"
            for pid in (1, 2, 3)
            for s, camid in ((1, 1), (1, 2), (2, 1))
            for n in (1, 2)
        )
    )
    table = bring(pattern=r"(?P<tracklet>session\d/(?P<pid>\d+)_(?P<camid>\d+))/(?P<frame>\d+).jpg")
    assert {(row.pid, row.camid, row.tracklet.partition("T")[2]) for row in table.itertuples()} == {
        (pid, camid, f"session{s}/00{pid}_0{camid}") for pid in (1, 2, 3) for s, camid in ((1, 1), (1, 2), (2, 1))
    }


def test_without_camera_each_tracklet_is_one(draw, bring):
    draw(*(f"{pid}/{walk}/{number}.png" for pid in (1, 2, 3) for walk in ("b", "a") for number in (1, 2)))
    table = bring(pattern=r"(?P<pid>\d+)/(?P<tracklet>\w+)/.*", queries="first-camera")
    assert {(row.tracklet, row.camid) for row in table.itertuples()} == {
        *((f"000{pid}Ta", 1) for pid in (1, 2, 3)),
        *((f"000{pid}Tb", 2) for pid in (1, 2, 3)),
    }


def test_images_without_identities_are_for_features_only(draw, bring):
    images = draw("a/1.png", "a/10.png", "a/2.png", "b/c/1.png", "3.png")
    table = bring(pattern=".*")
    assert {row.tracklet: len(row.frames) for row in table.itertuples()} == {"a": 3, "b/c": 1, ".": 1}
    assert set(table.pid) == {-1}
    with pytest.raises(UserError, match="data set mine: for feature extraction only, by `bench features RUN"):
        load("mine")
    loaded = load("mine", features_only=True)
    (tracklet,) = loaded.table.frames[loaded.table.tracklet == "a"]
    expected = [(images / f"a/{number}.png").read_bytes() for number in (1, 2, 10)]
    assert [bytes(loaded.store.read(name)) for name in tracklet] == expected
    rows = ["1,u,a/1.png", "2,v,a/2.png", "2,v,a/10.png"]
    table = bring(rows, name="other", header="camid,tracklet,frame")
    assert {(row.camid, row.tracklet, len(row.frames)) for row in table.itertuples()} == {(1, "u", 1), (2, "v", 2)}


def test_distractors_and_junk_are_in_every_gallery(draw, bring):
    people = [(pid, camid, 1) for pid in (0, 1, 2, 3) for camid in (1, 2)]
    images = draw(*paths(people), "junk/1.png", "junk/2.png")
    (images / "junk/2.png").write_bytes((images / "1/1C1T1F9.png").read_bytes())  # a detector's box twice
    rows = [f"{path[0]},{path[4]},{path[:7]},{path}" for path in paths(people)] + [
        "-1,1,j,junk/1.png",
        "-1,2,k,junk/2.png",
    ]
    table = bring(rows, header="pid,camid,tracklet,frame", splits=3, queries="first-camera", distractor=["0"])
    for split in range(3):
        subsets = load("mine", split).table.groupby("pid").subset.agg(set)
        assert subsets[0] == subsets[-1] == {"gallery"}
    assert len(table) == 10
    with pytest.raises(UserError, match="--distractor 8: no image shows such a person"):
        bring(rows, name="other", header="pid,camid,tracklet,frame", distractor=["8"])


def test_what_is_left_out_or_not_consecutive_is_remarked(draw, bring):
    draw(*paths(), "1/1C1T1F12.png.small.png", "1/1C1T1F12.png")
    table = bring(note="drawn in lines")
    assert ImportedDataset("mine").notes(table) == [
        "drawn in lines",
        "1 of 28 images do not match the pattern and are left out, such as 1/1C1T1F12.png.small.png",
        "the frames of 1 of 13 tracklets are not consecutive, such as 1/1C1T1F12.png after 1/1C1T1F10.png: "
        "no motion is seen across gaps",
    ]


def test_tracklets_of_one_camera_may_share_an_image(draw, bring):
    images = draw(*paths())
    (images / "1/1C1T1F9.png").write_bytes((images / "1/1C1T2F9.png").read_bytes())
    assert len(bring()) == 13


def same_image(images):
    (images / "2/2C1T1F9.png").write_bytes((images / "1/1C1T1F9.png").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda images: (images / "2/2C1T1F9.png").write_bytes(b""),
            "2/2C1T1F9.png: an empty file; replace or delete it",
        ),
        (
            lambda images: [(images / name).write_text("text") for name in ("2/2C1T1F9.png", "3/3C1T1F9.png")],
            r"2/2C1T1F9.png: cannot be decoded .* \(and 1 more such errors\)",
        ),
        (lambda images: cut(images / "2/2C1T1F9.jpg"), "2/2C1T1F9.jpg: cannot be decoded"),
        (
            same_image,
            "2/2C1T1F9.png: the same image as 1/1C1T1F9.png, but .* person 2 in camera 1, and person 1 in camera 1",
        ),
    ],
)
def test_wrong_image_is_named(draw, bring, spoil, message):
    spoil(draw(*paths()))
    with pytest.raises(UserError, match=message):
        bring()
    assert not imported_folder("mine").exists()


def cut(file):
    assert cv2.imwrite(str(file), np.random.default_rng(0).integers(0, 256, (32, 16, 3), np.uint8))
    file.write_bytes(file.read_bytes()[:-200])
    file.with_suffix(".png").unlink()


def test_numbers_of_any_length_are_compared_by_value(draw, bring):
    draw(*(f"{n}.png" for n in range(6)))
    long = "1" + "0" * 6000
    tracklets = [f"a{long}", f"a{'9' * 5999}", "a7"]
    rows = [f"train,1,1,{tracklet},{n}.png" for n, tracklet in enumerate(tracklets)]
    table = bring([*rows, "query,2,1,q,3.png", "gallery,2,2,g,4.png", "train,3,1,t,5.png"])
    assert [name for name in table.tracklet if name.startswith("a")] == tracklets[::-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": r"(\d+"}, "not a regular expression"),
        ({"pattern": r"(?P<subset>\d)/.*"}, "the images have a subset, but no pid"),
        ({"pattern": r".*", "splits": 2}, "--splits: does not apply where no image has a pid"),
        ({"pattern": r"(?P<pid>\d)(?P<camera>.*)"}, "no field 'camera'"),
        (
            {"pattern": r"(?P<pid>\d)C.*"},
            "matches none of the 26 images in .*, such as 1/1C1T1F10.png; it must match the whole",
        ),
        (
            {"pattern": r".*/(?P<pid>\d)C(?P<camid>\d)T.F(?P<frame>\d).*"},
            "1/1C1T2F10.png: frame 1 of .*, and so is 1/1C1T1F10.png; .* or name the tracklets by the field tracklet",
        ),
        ({"pattern": None}, "needs either --pattern or --csv"),
        ({"csv": Path("list.csv")}, "needs either --pattern or --csv"),
        ({"queries": "first"}, "--queries first"),
        ({"splits": 0}, "use at least 1 split"),
        ({"splits": 7}, "there are not as many ways to choose 2 of 4 persons"),
        ({"train_share": 1.0}, "--train-share 1.0"),
        ({"pattern": r".*/(?P<pid>\d)C1.*"}, "0 persons are in two or more cameras; at least 3 are needed"),
        ({"note": "two\nlines"}, "--note"),
        ({"name": "mars"}, "--name mars: already taken"),
        ({"pattern": r"(?P<subset>\d)/(?P<pid>\d).*", "seed": 1}, "--seed: does not apply where the subset"),
    ],
)
def test_wrong_option_is_refused(draw, bring, options, message):
    draw(*paths())
    with pytest.raises(UserError, match=message):
        bring(**options)


def test_import_run_and_verify_by_the_command(draw, bench, results, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    images = draw(*paths([(pid, camid, tracklet) for pid in range(1, 7) for camid in (1, 2) for tracklet in (1, 2)]))
    answer = bench(
        *("data", "import", "--images", images, "--pattern", PATTERN, "--name", "mine", "--splits", 2),
        *("--train-share", 0.5, "--note", "noise, no people"),
    )
    assert answer.status == 0
    assert "\nsplit 0 of 0 to 1; " in answer.out
    assert "\nsplit 1 of 0 to 1; " in bench("data", "stats", "mine", "--split", 1).out
    assert (
        "mine                 48 images, 24 tracklets, 6 persons, 2 cameras, 2 splits; noise, no people"
        in bench("list").out
    )
    verified = bench("data", "verify", "mine", "--split", 1)
    assert verified.status == 0
    assert "\nsplit 1 of 0 to 1; " in verified.out
    run = ("run", "--method", "mean", "--dataset", "mine", "--epochs", 1, "--set", "height=16", "--set", "width=8")
    assert bench(*run, "--split", 1).status == 0
    (record,) = load_records(results)
    assert (record.experiment.split, record.experiment.test_split) == (1, 1)
    assert record.data_notes == {"mine": "noise, no people"}
    for style in ("terminal", "csv"):
        assert "mine: noise, no people" in bench("table", "--format", style).out
    planned = bench("suite", "show", "table4", "--dataset", "mine", "--seeds", 1).out
    assert planned.count("--split 0") == planned.count("--split 1") > 0
    none = bench("data", "import", "--images", images, "--pattern", PATTERN, "--name", "other", "--splits", 0)
    assert "--splits 0" in none.err
    again = bench("data", "import", "--images", images, "--pattern", PATTERN, "--name", "mine")
    assert again.status == 2
    assert "exists already" in again.err


def test_layout_of_dukev_gives_its_readers_tracklets(tmp_path, monkeypatch):
    export(load("walkers:tiny"), "dukev", tmp_path / "people")
    expected = load("dukev", root=tmp_path / "people").table
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    pattern = r"(?P<subset>\w+)/(?P<pid>\d+)/(?P<tracklet>\d+)/.*_C(?P<camid>\d)_F(?P<frame>\d+).*"
    imported = import_images(tmp_path / "people", "mine", imported_folder("mine"), pattern=pattern)

    def rows(table):
        return sorted(
            (row.subset, row.pid, row.camid, [name.rpartition("/")[2] for name in row.frames])
            for row in table.itertuples()
        )

    assert rows(imported) == rows(expected)
