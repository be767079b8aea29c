"""The measurement for a machine with a GPU, tried on a small network and whatever machine this is."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from benchmarks.speed import gpu


@pytest.fixture
def measured(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", os.environ["BENCH_CACHE"])  # the command sets its own

    def call() -> dict:
        file = Path(tmp_path, "gpu.json")
        gpu.main(["--tiny", "--to", str(file)])
        return json.loads(file.read_text())

    return call


def test_record_has_every_figure(measured):
    record = measured()
    assert record["complete"]
    rows = {(row["method"], row["precision"]): row for row in record["methods"]}
    baselines = ("mean", "cnn3d", "flow")
    methods = [*baselines, *(f"{each}+afa" for each in baselines)]
    assert rows.keys() == {(method, precision) for method in methods for precision in gpu.possible(gpu.CPU)}
    for key, row in rows.items():
        assert "failed" not in row, (key, row)
        assert all(row[figure] > 0 for figure in ("bare", "harness", "extraction", "forward")), key
    assert record["recipe_frames"] == 40 * 625 * 2 * 2  # epochs, MARS's identities, clips of each, frames of a clip
    assert 0 < record["drawn"]["tracklets"] <= record["drawn"]["of_tracklets"]
    assert record["evaluation"]["seconds"] > 0
    assert {each["what"] for each in record["agreement"]} == {
        "features",
        "loss_triplet",
        "loss_class",
        "loss_coherence",
    }
    assert all(each["difference"] <= each["tolerance"] for each in record["agreement"])


def test_partial_record_after_time_limit(measured, monkeypatch):
    monkeypatch.setattr(gpu, "agreement", lambda *_: signal.raise_signal(signal.SIGALRM))
    record = measured()
    assert not record["complete"]
    assert record["drawn"]["frames"] > 0
    assert record["methods"] == []


def test_failed_method_is_recorded(measured, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(gpu, "TINY", gpu.TINY._replace(baselines=()))
    monkeypatch.setattr(gpu, "train", full)
    record = measured()
    assert record["complete"]
    assert [row["failed"] for row in record["methods"]] == ["OutOfMemoryError: no room"] * 2 * len(
        gpu.possible(gpu.CPU)
    )
    assert all(row["bare"] > 0 for row in record["methods"])


def test_missing_gpu_is_reported(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as end:
        gpu.main([])
    assert end.value.code == 2
    assert "no GPU is available; --tiny" in capsys.readouterr().err
