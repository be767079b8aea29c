"""Verbs that train and evaluate: run, eval, score, features."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import torchvision

from baselines.interface.errors import UserError
from benchmarks.engine.model import build_model
from benchmarks.experiments.settings import resolve
from benchmarks.runs.cost import cost
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records, read_record

RUN = ("run", "--dataset", "walkers:tiny", "--set", "epochs=1")


def test_run_writes_all_files_once(bench, results):
    first = bench(*RUN, "--method", "qan+afa")
    assert first.status == 0
    assert "qan+afa" in first.out
    (folder,) = [RunFolder(path) for path in results.iterdir()]
    for file in (folder.settings, folder.log, folder.curves, folder.weights, folder.queries, folder.record):
        assert file.stat().st_size > 0
    record = read_record(folder)
    assert record.experiment.settings["epochs"] == 1
    assert {row.protocol for row in record.metrics} == {"official", "standard", "full"}
    assert {row.feature for row in record.metrics} == {"before", "after"}
    assert record.cost.parameters > 0
    assert set(record.phases) == {"train", "extract", "evaluate"}
    assert all(len(getattr(record.experiment, key)) == 64 for key in ("data", "test_data"))
    assert str(Path.home()) not in folder.record.read_text()
    times = folder.record.stat().st_mtime_ns
    again = bench(*RUN, "--method", "qan+afa")
    assert "finished before; nothing to run" in again.err
    assert again.out == first.out
    assert folder.record.stat().st_mtime_ns == times
    assert bench(*RUN, "--method", "qan+afa", "--fresh").status == 0
    assert folder.record.stat().st_mtime_ns > times


def test_run_that_differs_at_test_takes_the_weights(bench, results, monkeypatch):
    asked = (*RUN, "--method", "cnn3d")

    def ran(*changes):
        known = set(results.glob("*"))
        assert bench(*asked, *changes).status == 0
        (folder,) = [RunFolder(path) for path in set(results.glob("*")) - known]
        return folder, read_record(folder)

    plain, _ = ran()
    shuffled, record = ran("--set", "shuffle=test")
    assert "train" not in record.phases
    assert shuffled.weights.read_bytes() == plain.weights.read_bytes()
    for changes in (("--set", "shuffle=both"), ("--set", "flip=0.0"), ("--seed", "1")):
        other, record = ran(*changes)
        assert "train" in record.phases
        assert other.weights.read_bytes() != plain.weights.read_bytes()
    one, record = ran("--set", "test_frames=1")
    assert "train" not in record.phases
    elsewhere = results.with_name("elsewhere")
    monkeypatch.setenv("BENCH_RESULTS", str(elsewhere))
    assert bench(*asked, "--set", "test_frames=1").status == 0  # where it has to be trained
    alone = read_record(RunFolder(elsewhere / one.path.name))
    assert "train" in alone.phases
    assert alone.metrics == record.metrics


def test_metrics_follow_from_query_results(finished):
    folder, record = finished
    queries = pd.read_parquet(folder.queries)
    for row in record.metrics:
        part = queries[(queries.protocol == row.protocol) & (queries.feature == row.feature)]
        part = part[part.first_hit_rank.notna()]
        assert len(part) == row.queries
        assert row.mAP == pytest.approx(part.average_precision.mean())
        assert pytest.approx((part.first_hit_rank <= 5).mean()) == row.R5


def test_multiply_adds_of_small_backbone(finished):
    _, record = finished
    by_hand = sum(
        (32 >> s) * (16 >> s) * 9 * a * b for s, a, b in ((1, 3, 32), (2, 32, 64), (3, 64, 128), (3, 128, 256))
    )
    assert record.cost.multiply_adds == pytest.approx(by_hand)


def test_multiply_adds_of_lstm():
    settings = resolve("small", "lstm")
    counted = {method: cost(build_model(method, 2, settings, seed=0)[0], settings) for method in ("mean", "lstm")}
    (lstm,) = [
        module for module in build_model("lstm", 2, settings, seed=0)[0].modules() if isinstance(module, torch.nn.LSTM)
    ]
    by_hand = 4 * lstm.hidden_size * (lstm.input_size + lstm.hidden_size)  # four gates, from the input and the state
    assert counted["lstm"].multiply_adds - counted["mean"].multiply_adds == pytest.approx(by_hand)


def test_eval_on_another_dataset(bench, finished, results):
    _, record = finished
    answer = bench("eval", record.name, "--dataset", "walkers@2:tiny")
    assert answer.status == 0
    assert "walkers:tiny to walkers@2:tiny" in answer.out
    assert len(load_records(results)) == 2
    assert bench("eval", record.name, "--dataset", "walkers@2:tiny").out == answer.out
    here = bench("eval", record.name, "--dataset", "walkers@1:tiny")  # another name of the same data set
    assert here.status == 0
    assert len(load_records(results)) == 2  # its own data set gives no new run


def test_every_verb_checks_all_frames_first(bench, finished, monkeypatch, tmp_path):
    folder, _ = finished
    bad = tmp_path / "people" / "1"
    bad.mkdir(parents=True)
    for name in ("1.jpg", "2.jpg"):
        (bad / name).write_bytes(b"no image")
    answer = bench("features", folder.path.name, "--images", bad.parent, "--to", tmp_path)
    assert answer.status == 2
    assert "1.jpg: cannot be decoded" in answer.err
    assert "(and 1 more such frames); `bench data verify` lists every fault" in answer.err

    def refuse(data, progress):
        raise UserError(f"{data.name}: bad frames")

    monkeypatch.setattr("benchmarks.scheduling.single_runs.refuse_bad_frames", refuse)
    run = folder.path.name
    verbs = [("eval", run, "--dataset", "walkers@2:tiny"), ("features", run), ("gallery", run)]
    verbs += [("tune", "--method", "mean", "--dataset", "walkers:tiny", "--trials", "1"), (*RUN, "--method", "mean")]
    for words in verbs:
        answer = bench(*words)
        assert answer.status == 2, words
        assert answer.err.splitlines()[-1].endswith(": bad frames"), words


def test_exported_features_score_like_the_run(bench, finished, results, tmp_path):
    _, record = finished
    answer = bench("features", record.name, "--to", tmp_path / "out")
    assert answer.status == 0
    query, gallery = answer.out.split()
    assert (
        bench("score", "--query", query, "--gallery", gallery, "--method", "theirs", "--dataset", "walkers:tiny").status
        == 0
    )
    theirs = next(each for each in load_records(results) if each.experiment.method == "theirs")
    ours = {row.protocol: row.mAP for row in record.metrics if row.feature == "before"}
    assert {row.protocol: row.mAP for row in theirs.metrics} == pytest.approx(ours)
    table = bench("table").out
    assert "theirs (external) " in table  # not marked as stale: it did not read the data set here
    assert "mean" in table


def test_external_features_are_checked(bench, tmp_path):
    columns = {"feature": [[0.0, 1.0], [1.0, 0.0]], "pid": [1, 2], "camid": [0, 0], "tracklet": ["a", "b"]}
    pd.DataFrame(columns).to_parquet(tmp_path / "q.parquet")
    gallery = {key: np.array(value) for key, value in {**columns, "camid": [1, 1]}.items()}
    np.savez(tmp_path / "g.npz", **gallery)
    words = ("score", "--query", tmp_path / "q.parquet", "--gallery", tmp_path / "g.npz")
    assert "100.0" in bench(*words).out
    np.savez(tmp_path / "g.npz", **{**gallery, "feature": np.full((2, 2), np.nan)})
    assert "g.npz: feature row 0 is not finite" in bench(*words).err
    del gallery["camid"]
    np.savez(tmp_path / "g.npz", **gallery)
    refused = bench(*words)
    assert refused.status == 2
    assert "g.npz: lacks camid" in refused.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature": np.zeros((0, 2)), "pid": [], "camid": [], "tracklet": []}, "g.npz: has no rows"),
        ({"pid": [1.0, 2.5]}, "g.npz: pid must be whole numbers, but row 1 has 2.5"),
        ({"pid": [np.nan, 2.0]}, "g.npz: pid must be whole numbers, but row 0 has nan"),
        ({"camid": ["left", "right"]}, "g.npz: camid must be whole numbers"),
        ({"pid": [[1], [2]]}, "must be (N, D) and the rest (N,)"),
        ({"feature": np.zeros((2, 0))}, "g.npz: has no numbers in its features; extract them again"),
        ({"pid": [True, False]}, "g.npz: pid must be whole numbers, not bool"),
        (
            {"camid": np.array(["2026-01-01", "2026-01-02"], "M8[s]")},
            "g.npz: camid must be whole numbers, not datetime64",
        ),
        ({"tracklet": ["a", "a"]}, "g.npz: tracklet 'a' appears twice"),
        ({"pid": [7, 8]}, "no query has a match in"),
        ({"camid": [0, 0]}, "no query has a match in"),
        ({}, "--method"),
    ],
)
def test_invalid_external_features(bench, results, tmp_path, change, message):
    columns = {"feature": np.eye(2), "pid": [1, 2], "camid": [0, 0], "tracklet": ["a", "b"]}
    np.savez(tmp_path / "q.npz", **columns)
    np.savez(tmp_path / "g.npz", **{**columns, "camid": [1, 1], **change})
    words = ("score", "--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz")
    answer = bench(*words, *(() if change else ("--method", "x" * 300)))
    assert answer.status == 2
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


def test_expected_result(bench, finished):
    """Also of a run that had finished before."""
    _, record = finished
    found = record.find_metrics("official", "before").percent("mAP")
    words = ("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0", "--expect")
    assert bench(*words, f"mAP={found + 1.5:.2f}+-2.0").status == 0
    answer = bench(*words, f"mAP={found + 2.5:.2f}±2", "--expect", "R20=0+-100")
    assert answer.status == 3
    assert answer.err.splitlines()[-1] == f"bench: --expect: mAP is {found:.2f}, not {found + 2.5:.2f}+-2"
    assert "official" in answer.out  # the result is shown all the same


@pytest.mark.parametrize("text", ["61", "mAP=61", "mAP=61+-", "mAP=x+-2", "R2=61+-2", "mAP=nan+-2", "mAP=61+--2"])
def test_malformed_expectation(bench, results, text):
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--expect", text)
    assert answer.status == 2
    assert answer.err.splitlines() == [
        f"bench: --expect {text!r}: write METRIC=VALUE+-TOLERANCE in percent, such as mAP=61.0+-2.0; METRIC is mAP, R1, R5, "
        "R10, R20"
    ]


def test_float_pids_are_accepted(bench, tmp_path):
    columns = {"feature": np.eye(2), "pid": [1.0, 2.0], "tracklet": ["a", "b"]}
    np.savez(tmp_path / "q.npz", **columns, camid=[0, 0])
    np.savez(tmp_path / "g.npz", **columns, camid=[1, 1])
    assert "100.0" in bench("score", "--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz").out


def test_features_of_images_in_folders(bench, finished, tmp_path):
    """Each query's own feature is found again among those of the same images without a word on who they show."""
    _, record = finished
    assert bench("data", "export", "walkers:tiny", "--layout", "dukev", "--to", tmp_path / "people").status == 0
    (query, _) = bench("features", record.name, "--to", tmp_path / "own").out.split()
    answer = bench(
        "features", record.name, "--images", tmp_path / "people/query", "--to", tmp_path / "out", "--workers", 0
    )
    assert answer.out.split() == [str(tmp_path / f"out/{record.name}-on-query.npz")]
    expected, found = np.load(query), np.load(answer.out.strip())
    assert set(found["pid"]) == {-1}
    assert len(found["tracklet"]) == len(set(found["tracklet"])) == len(expected["tracklet"])
    folder_pids = [int(name.partition("/")[0]) for name in found["tracklet"]]
    distances = np.abs(expected["feature"][:, None] - found["feature"]).max(axis=2)
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-5)
    assert [folder_pids[row] for row in distances.argmin(axis=1)] == expected["pid"].tolist()
    answer = bench("features", record.name, "--dataset", "walkers@2:tiny", "--to", tmp_path / "out", "--workers", 0)
    assert [Path(file).name for file in answer.out.split()] == [
        f"{record.name}-on-walkers@2_tiny-{part}.npz" for part in ("query", "gallery")
    ]


def test_features_of_a_backbone_are_means_of_frames(bench, tmp_path):
    """torchvision's network, applied to the frames one by one, is the independent opinion."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 32, 3), np.uint8)
    for name, image in zip(("a/1.png", "a/2.png", "b/1.png"), pixels, strict=True):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / name), image)
    words = ["--backbone", "resnet18", "--weights", tmp_path / "weights.pth", "--images", tmp_path / "images"]
    sizes = [word for key in ("height=64", "width=32", "last_stride=2") for word in ("--set", key)]
    answer = bench("features", *words, *sizes, "--to", tmp_path, "--workers", 0)
    assert answer.out.split() == [str(tmp_path / "resnet18-on-images.npz")]
    found = np.load(answer.out.strip())
    assert found["tracklet"].tolist() == ["a", "b"]
    network.fc = torch.nn.Identity()
    rgb = torch.tensor(pixels[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(each)[:, None, None] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        each = network.eval()((rgb - mean) / deviation)
    np.testing.assert_allclose(found["feature"], torch.stack([each[:2].mean(0), each[2]]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a RUN, or give --backbone, --weights, and --images DIR or --dataset NAME"),
        (("--backbone", "resnet18", "--images", "."), "name a RUN, or give --backbone, --weights, and"),
        (("a-run", "--backbone", "resnet18"), "RUN a-run has its own settings; omit --backbone"),
        (("a-run", "--images", ".", "--dataset", "mars"), "give --dataset NAME or --images DIR, one of both"),
    ],
)
def test_options_of_features_must_fit(bench, words, message):
    answer = bench("features", *words)
    assert answer.status == 2
    assert message in answer.err.splitlines()[-1]


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


def test_features_need_a_folder(bench, finished, tmp_path):
    (tmp_path / "taken").touch()
    answer = bench("features", finished[1].name, "--to", tmp_path / "taken")
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith(f"bench: --to {tmp_path / 'taken'}: not a folder")
    assert "query: " not in answer.err  # the progress of the extraction
    assert (tmp_path / "taken").read_bytes() == b""


def test_truncated_weights_are_reported(bench, finished):
    folder, record = finished
    folder.weights.write_bytes(folder.weights.read_bytes()[:1000])
    answer = bench("eval", record.name, "--dataset", "walkers@2:tiny")
    assert answer.status == 2
    assert f"{folder.weights}: damaged" in answer.err.splitlines()[-1]
    assert "--fresh" in answer.err.splitlines()[-1]


def test_non_numeric_features(bench, tmp_path):
    for number, feature in enumerate((np.array([["a", "b"]]), np.ones((1, 2), complex))):
        file = tmp_path / f"{number}.npz"
        np.savez(file, feature=feature, pid=[1], camid=[1], tracklet=["t"])
        answer = bench("score", "--query", file, "--gallery", file)
        assert answer.status == 2
        assert f"bench: {file}: feature must be numeric" in answer.err


def test_held_out_identities_are_not_trained_on(bench, results):
    assert bench(*RUN, "--method", "mean", "--set", "holdout=0.25").status == 0
    (record,) = load_records(results)
    assert "validation" in {row.protocol for row in record.metrics}
    from safetensors.torch import load_file

    weights = load_file(RunFolder(results / record.name).weights)
    assert len(weights["classifier.weight"]) == 6  # of 8


def test_one_process_per_experiment(bench, finished):
    folder, _ = finished
    with folder.lock():
        answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0", "--fresh")
    assert answer.status == 2
    assert "another process is running this experiment" in answer.err
    assert read_record(folder) is not None  # nothing was lost
