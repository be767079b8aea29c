"""bench score: features and distances that other code computed."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.runs.store import load_records


def test_external_features_are_checked(bench, tmp_path):
    columns = {"feature": [[0.0, 1.0], [1.0, 0.0]], "pid": [1, 2], "camid": [0, 0], "tracklet": ["a", "b"]}
    pd.DataFrame(columns).to_parquet(tmp_path / "q.parquet")
    gallery = {key: np.array(value) for key, value in {**columns, "camid": [1, 1]}.items()}
    np.savez(tmp_path / "g.npz", **gallery)
    words = ("score", "--query", tmp_path / "q.parquet", "--gallery", tmp_path / "g.npz")
    assert "100.0" in bench(*words).out
    np.savez(tmp_path / "g.npz", **{**gallery, "feature": np.full((2, 2), np.nan)})
    assert "g.npz: feature row 0 is not finite" in bench(*words).err
    gallery["cam\nids"] = gallery.pop("camid")  # a line break would hide what stands before it
    np.savez(tmp_path / "g.npz", **gallery)
    refused = bench(*words)
    assert refused.status == 2
    assert "g.npz: lacks camid; it has cam ids instead; a file holds feature, pid, camid, tracklet" in refused.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature": np.zeros((0, 2)), "pid": [], "camid": [], "tracklet": []}, "g.npz: has no rows"),
        ({"pid": [1.0, 2.5]}, "g.npz: pid must be whole numbers, but row 1 has 2.5"),
        ({"pid": ["1", "x"]}, "g.npz: pid must be whole numbers, not 'x'"),
        ({"pid": [" 1", "--1"]}, "g.npz: pid must be whole numbers, not '--1'"),
        ({"pid": [np.nan, 2.0]}, "g.npz: pid must be whole numbers, but row 0 has nan"),
        ({"camid": ["left", "right"]}, "g.npz: camid must be whole numbers"),
        ({"pid": [[1], [2]]}, "must be (N, D) and the rest (N,)"),
        ({"feature": np.zeros((2, 0))}, "g.npz: has no numbers in its features; extract them again"),
        ({"pid": [True, False]}, "g.npz: pid must be whole numbers, not bool"),
        (
            {"camid": np.array(["2026-01-01", "2026-01-02"], "M8[s]")},
            "g.npz: camid must be whole numbers, not datetime64",
        ),
        ({"pid": ["1", "2.0"]}, "g.npz: pid must be whole numbers, not "),
        (
            {"pid": np.array([2**24, 2**24 + 1], np.float32)},  # two people, one number
            "g.npz: pid must be integers, because float32 cannot hold every whole number as large as 16777216",
        ),
        ({"pid": [2.0**53, 1.0]}, "g.npz: pid must be integers, because float64"),
        ({"tracklet": [b"a", b"\xff"]}, "g.npz: cannot be read as npz or parquet ('ascii' codec"),
        ({"feature": np.eye(2) * 1e300}, "g.npz: feature row 0 is not finite in float32"),
        ({"tracklet": ["a", "a"]}, "g.npz: tracklet 'a' appears twice"),
        ({"pid": [7, 8]}, "no query has a match in"),
        ({"camid": [0, 0]}, "no query has a match in"),
        ({}, "--method"),
        ({}, "--dataset"),
    ],
)
def test_invalid_external_features(bench, results, tmp_path, change, message):
    columns = {"feature": np.eye(2), "pid": [1, 2], "camid": [0, 0], "tracklet": ["a", "b"]}
    np.savez(tmp_path / "q.npz", **columns)
    np.savez(tmp_path / "g.npz", **{**columns, "camid": [1, 1], **change})
    words = ("score", "--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz")
    answer = bench(*words, *(() if change else (message, "x" * 300 if message == "--method" else "/data/mars")))
    assert answer.status == 2
    assert "Warning" not in answer.err
    assert message in answer.err.splitlines()[-1]
    assert load_records(results) == []
    assert not list(results.glob("*"))


def test_equal_features_are_ranked_in_the_order_of_the_file(bench, results, tmp_path):
    columns = {"feature": np.zeros((2, 4)), "pid": [1, 2], "tracklet": ["a", "b"]}
    np.savez(tmp_path / "q.npz", **columns, camid=[0, 0])
    np.savez(tmp_path / "g.npz", **columns, camid=[1, 1])
    words = ("score", "--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz")
    answer = bench(*words)
    assert "g.npz: 1 of 2 features are equal to another one; tracklets that are equally near are ranked" in answer.err
    (record,) = load_records(results)
    assert record.find_metrics("standard", "before").R1 == 0.5  # of the second query, the first tracklet comes first
    np.savez(tmp_path / "g.npz", **{**columns, "feature": np.eye(2, 4)}, camid=[1, 1])
    assert "equal" not in bench(*words).err


def test_float_pids_are_accepted(bench, tmp_path):
    columns = {"feature": np.eye(2), "pid": [1.0, 2.0], "tracklet": ["a", "b"]}
    np.savez(tmp_path / "q.npz", **columns, camid=[0, 0])
    np.savez(tmp_path / "g.npz", **columns, camid=[1, 1])
    assert "100.0" in bench("score", "--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz").out


def scored(tmp_path, name, quality, camids=(0, 1)):
    """Query and gallery files of ten people; the higher the quality, the fewer are mistaken."""
    generator = np.random.default_rng(list(name.encode()))
    files = []
    for side, camid in zip(("query", "gallery"), camids, strict=True):
        feature = quality * np.eye(10) + generator.normal(size=(10, 10))
        names = [f"{side}{pid}" for pid in range(10)]
        files.append(tmp_path / f"{name}-{side}.npz")
        np.savez(files[-1], feature=feature, pid=np.arange(10), camid=np.full(10, camid), tracklet=names)
    return ["--query", files[0], "--gallery", files[1]]


def test_several_files_are_the_seeds_of_one_method(bench, results, tmp_path):
    words = [word for name in "abc" for word in scored(tmp_path, name, 2)]
    assert bench("score", *words, "--method", "theirs", "--split", 4).status == 0
    records = load_records(results)
    assert sorted((each.experiment.seed, each.experiment.split, each.experiment.test_split) for each in records) == [
        (seed, 4, 4) for seed in range(3)
    ]
    assert bench("score", *scored(tmp_path, "d", 2), "--method", "theirs", "--split", 4, "--seed", 3).status == 0
    (row,) = [row for row in bench("table", "--format", "csv").out.splitlines() if "theirs" in row]
    assert row.split(",")[1:3] == ["theirs (external)", "4"]
    # a seed that is there already, with other features, is no repetition: each file has its row
    assert bench("score", *scored(tmp_path, "e", 9), "--method", "theirs", "--split", 4).status == 0
    rows = bench("table", "--format", "csv").out.splitlines()[1:]
    assert len(rows) == len({row.split(",", 4)[2] for row in rows}) == 5


def test_distances_score_like_the_features(bench, results, tmp_path):
    words = scored(tmp_path, "a", 3)
    assert bench("score", *words, "--method", "features").status == 0
    query, gallery = (np.load(file) for file in words[1::2])
    given = {
        f"{side}_{key}": file[key]
        for side, file in (("query", query), ("gallery", gallery))
        for key in ("pid", "camid", "tracklet")
    }
    matrix = np.linalg.norm(query["feature"][:, None] - gallery["feature"], axis=2)
    np.savez(tmp_path / "d.npz", distances=matrix, **given)
    assert bench("score", "--distances", tmp_path / "d.npz", "--method", "matrix").status == 0
    by_method = {each.experiment.method: each for each in load_records(results)}
    assert by_method["matrix"].metrics == [by_method["features"].find_metrics("standard", "before")]
    assert "matrix (external, distances)" in bench("table", "--protocol", "standard").out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distances": np.zeros((2, 3))}, "distances (2, 3) must be (Q, G), and gallery_pid not (2,)"),
        ({"distances": np.array([[0, np.nan], [1, 0]])}, "distances must be numbers, without NaN"),
        ({"gallery_camid": [0, 0]}, "d.npz: no query has a match"),
        ({"query_pid": ["a", "b"]}, "d.npz: query_pid must be whole numbers"),
        ({"query_tracklet": [b"a", b"\xff"]}, "d.npz: cannot be read as npz ('ascii' codec"),
        ({"query_tracklet": None}, "d.npz: lacks query_tracklet"),
    ],
)
def test_invalid_distances(bench, results, tmp_path, change, message):
    arrays = {"distances": np.eye(2), "query_pid": [1, 2], "query_camid": [0, 0], "query_tracklet": ["a", "b"]}
    arrays |= {key.replace("query", "gallery"): value for key, value in arrays.items()} | {"gallery_camid": [1, 1]}
    np.savez(tmp_path / "d.npz", **{key: value for key, value in (arrays | change).items() if value is not None})
    answer = bench("score", "--distances", tmp_path / "d.npz")
    assert answer.status == 2
    assert message in answer.err.splitlines()[-1]
    assert not list(results.glob("*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give --query FILE and --gallery FILE, or --distances FILE"),
        (("--query", "a.npz"), "--gallery: 0 given for 1 --query"),
        (("--distances", "a.npz", "--query", "b.npz"), "or --distances FILE"),
        (("--distances", "a.npz", "--metric", "cosine"), "--metric cosine: applies to features only"),
    ],
)
def test_options_of_score_must_fit(bench, words, message):
    answer = bench("score", *words)
    assert answer.status == 2
    assert message in answer.err.splitlines()[-1]


def test_external_features_hide_no_run(bench, finished, tmp_path):
    folder, record = finished
    assert bench("features", record.name, "--to", tmp_path).status == 0
    files = {part: tmp_path / f"{record.name}-{part}.npz" for part in ("query", "gallery")}
    words = [word for part, file in files.items() for word in (f"--{part}", file)]
    # As if the data set did not have the first protocol.
    folder.record.write_text(folder.record.read_text().replace('"official"', '"another"'))
    assert bench("score", *words, "--method", "COSAM", "--dataset", "walkers:tiny").status == 0
    rows = bench("table", "--format", "csv").out.splitlines()[1:]
    assert any(row.startswith("walkers:tiny,mean,1,") for row in rows)


def test_non_numeric_features(bench, tmp_path):
    for number, feature in enumerate((np.array([["a", "b"]]), np.ones((1, 2), complex))):
        file = tmp_path / f"{number}.npz"
        np.savez(file, feature=feature, pid=[1], camid=[1], tracklet=["t"])
        answer = bench("score", "--query", file, "--gallery", file)
        assert answer.status == 2
        assert f"bench: {file}: feature must be numeric" in answer.err
