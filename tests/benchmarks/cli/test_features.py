"""bench features: features of a run or a backbone, of data sets and of folders of images."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torchvision

from benchmarks.runs import feature_files
from benchmarks.runs.store import load_records


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
    compared = bench("compare", record.name, "theirs")
    assert "settings that differ: unknown: theirs trained elsewhere" in compared.out
    assert compared.status == 0, compared.err
    (line,) = [line for line in compared.out.splitlines() if line.startswith("difference ")]
    assert float(line.split()[-1]) == 0


def changed_copy(file, to, **columns):
    arrays = dict(np.load(file))
    np.savez(to, **{**arrays, **{name: change(arrays[name]) for name, change in columns.items()}})
    return to


def test_features_of_other_people_are_refused_by_a_known_data_set(bench, finished, results, tmp_path):
    _, record = finished
    query, gallery = map(Path, bench("features", record.name, "--to", tmp_path).out.split())
    words = ("score", "--gallery", gallery, "--dataset", "walkers:tiny")
    for name, columns in (
        ("other people", {"pid": lambda pid: pid + 1000}),
        ("few", dict.fromkeys(("pid", "camid", "tracklet", "feature"), lambda rows: rows[:-1])),
    ):
        file = changed_copy(query, tmp_path / f"{name}.npz", **columns)
        refused = bench(*words, "--query", file)
        assert refused.status == 2, name
        assert f"{file}: not the query tracklets of walkers:tiny, split 0" in refused.err
    assert bench("score", "--query", query, "--gallery", gallery, "--dataset", "a**b").status == 0
    other_names = changed_copy(query, tmp_path / "names.npz", tracklet=lambda names: np.char.add(names, "x"))
    assert bench(*words, "--query", other_names, "--method", "renamed").status == 0
    assert "`bench score` takes --dataset" in bench("compare", record.name, "renamed").err  # queries cannot be paired


def test_misspelt_data_set_of_features_is_pointed_out(bench, finished, tmp_path):
    _, record = finished
    query, gallery = bench("features", record.name, "--to", tmp_path).out.split()
    answer = bench("score", "--query", query, "--gallery", gallery, "--dataset", "walkerz")
    assert answer.status == 0
    assert "--dataset walkerz: no such data set is known here; did you mean 'walkers'?" in answer.err


def test_full_disk_leaves_no_half_of_a_file(bench, finished, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        feature_files, "extract", lambda _, tracklets, *__: SimpleNamespace(before=np.ones((len(tracklets), 2)))
    )
    monkeypatch.setattr(os, "fsync", full)
    _, record = finished
    answer = bench("features", record.name, "--to", tmp_path / "out")
    assert answer.status == 2
    file = tmp_path / "out" / f"{record.name}-query.npz"
    advice = "No space left on device; free some space, or use a folder on another disk"
    assert answer.err.splitlines()[-1] == f"bench: {file}: {advice}"
    assert not list(file.parent.iterdir())


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
        (("a-run", "--images", ".", "--dataset", "mars"), "give either --dataset NAME or --images DIR"),
    ],
)
def test_options_of_features_must_fit(bench, words, message):
    answer = bench("features", *words)
    assert answer.status == 2
    assert message in answer.err.splitlines()[-1]


def test_features_need_a_folder(bench, finished, tmp_path):
    (tmp_path / "taken").touch()
    answer = bench("features", finished[1].name, "--to", tmp_path / "taken")
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith(f"bench: --to {tmp_path / 'taken'}: not a folder")
    assert "query: " not in answer.err  # the progress of the extraction
    assert (tmp_path / "taken").read_bytes() == b""
