"""A dry run says what is missing before a job does, and what the run will cost."""

import re

import pytest
import torch

from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.settings import resolve
from benchmarks.scheduling.estimate import measured_seconds


@pytest.fixture(autouse=True)
def _no_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


MARS = ("--method", "mean", "--dataset", "mars")
ABSENT_DATA = "bench: missing: data set mars: give --root DIR, or set BENCH_DATA"


def missing(answer):
    return [line for line in answer.err.splitlines() if "missing: " in line]


@pytest.mark.parametrize("local", [(), ("--local",)])
def test_submit_names_each_lack_once_with_its_remedy(bench, local):
    answer = bench("submit", *MARS, "--seeds", 3, "--dry-run", *local)
    assert answer.status == 2
    data, weights = missing(answer)
    assert data.startswith(ABSENT_DATA)
    assert re.search(r"weights: \S+resnet50\S+\.pth is missing; .* --set weights=none", weights)


def test_backbones_without_imagenet_weights(bench):
    here = ("--method", "mean", "--dataset", "walkers:tiny", "--backbone", "osnet", "--weights", "imagenet")
    assert missing(bench("run", *here, "--dry-run")) == [
        "bench: missing: weights: there are no ImageNet weights for the backbone 'osnet'; name a file, or 'none'"
    ]


def test_weights_of_timm_are_missed_before_a_job_misses_them(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    here = ("--method", "mean", "--dataset", "walkers:tiny", "--backbone", "timm:resnet10t", "--weights", "imagenet")
    (line,) = missing(bench("run", *here, "--dry-run"))
    assert f"weights: {tmp_path}/models--timm--resnet10t.c3_in1k/model.safetensors is missing; the first run" in line


def test_nothing_is_missing(bench, tmp_path):
    answer = bench("submit", "--method", "mean", "--dataset", "walkers:tiny", "--dry-run", "--local")
    assert (answer.status, missing(answer)) == (0, [])
    assert bench("submit", *MARS, "--set", "weights=none", "--root", tmp_path, "--dry-run", "--local").status == 0


def test_counts_that_are_not_published(bench, tmp_path):
    """As soon as the folder was read, the plan and each dry run say so."""
    assert bench("data", "export", "walkers:tiny", "--layout", "mars", "--to", tmp_path / "people").status == 0
    here = ("--dataset", "mars", "--root", tmp_path / "people")
    stats = bench("data", "stats", "mars", "--root", tmp_path / "people")
    assert stats.status == 0
    assert "not the published counts (" in stats.out
    note = "mars: not the published counts (train identities: 8 found, 625 published"
    dry = ("--method", "mean", *here, "--recipe", "small", "--dry-run")
    assert f"bench: {note}" in bench("run", *dry).err
    assert f"bench: {note}" in bench("submit", *dry, "--local").err
    plan = bench("plan", "table4", *here, "--seeds", 1).out
    assert note in plan
    assert "mars: 15 queries; two checkpoints differ" in plan  # not the 1,980 of MARS


def test_table_without_runs_says_so_too(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert bench("data", "export", "walkers:tiny", "--layout", "mars", "--to", tmp_path / "mars").status == 0
    assert bench("data", "stats", "mars").status == 0
    assert bench("table", "table4", "--dataset", "mars").out.startswith("mars (not the published counts)")


def test_files_that_settings_name(bench):
    flow = ("--method", "flow", "--dataset", "walkers:tiny", "--set", "flow=raft", "--set", "flow_weights=raft.pth")
    answer = bench("submit", *flow, "--set", "weights=here/backbone.pth", "--dry-run", "--local")
    assert answer.status == 2
    backbone, raft = missing(answer)
    assert "weights: here/backbone.pth: no such file" in backbone
    assert "flow_weights: raft.pth: no such file" in raft


def test_plan_gives_measured_hours_in_brackets(bench):
    """By hand: 79 batches of 8 x 4 clips of 7 frames, 200 epochs, at the measured speed of ResNet-50 in float32."""
    frames, tested = 79 * 8 * 4 * 7 * 200, 114_493 + 566_596
    hours = (frames / 929.75 + tested / 2004) / 3600  # the mean of 929.5 with AFA and 930.0 without
    answer = bench("plan", "table4", "--dataset", "mars", "--seeds", 1)
    assert answer.status == 0
    assert f"({hours:.1f} h)" in answer.out
    assert "in brackets: hours on one NVIDIA H200, from results/measured/gpu.json" in answer.out
    assert re.search(r"weights: \S+resnet50\S+ is missing", answer.out)
    small = bench("plan", "table4", "--dataset", "walkers:tiny", "--seeds", 1).out
    assert "H200" not in small  # nothing like it was measured there


def test_measured_hours_are_of_the_same_backbone_and_precision():
    def seconds(*changes):
        settings = resolve("mars", "mean", changes).recorded()
        return measured_seconds(Experiment("mean", "mars", "mars", settings, 0, 0, "", "", ""))

    assert seconds("precision=bf16") < seconds() / 2
    assert seconds("height=128") is None
    assert seconds("backbone=resnet18") is None


def test_dry_run_of_one_run(bench, results):
    answer = bench("run", *MARS, "--weights", "none", "--dry-run", "--test", "dukev")
    assert answer.status == 2
    assert [re.search(r"data set \w+", line)[0] for line in missing(answer)] == ["data set mars", "data set dukev"]
    assert re.search(r"^time: about \d\.\d h on one NVIDIA H200", answer.out, re.MULTILINE)
    assert re.search(r"^GPU memory of a training step: about 1[4-7]\.\d GiB$", answer.out, re.MULTILINE)
    tiny = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--seed", 3, "--dry-run")
    assert "seed 0" not in tiny.out + tiny.err
    assert (tiny.status, missing(tiny)) == (0, [])
    assert "GPU memory of a training step: about 0." in tiny.out
    refused = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", "micro_batch=2", "--dry-run")
    assert refused.status == 2
    assert refused.err.splitlines()[-1].startswith("bench: micro_batch=2: Mean has batch normalisation")
    assert not results.exists()
