"""Runs whose tracklets a matcher compares: registered, from a plug-in, or the baseline's own."""

import json
from dataclasses import replace

import pytest

from benchmarks.runs.record import record_to_json
from benchmarks.runs.store import load_records

RUN = ("run", "--dataset", "walkers:tiny", "--epochs", "0", "--workers", "0")

PLUGIN = '''
import torch
from afa import disentangle
from baselines.interface import Baseline, Matcher, register

@register("mean-of-frames")
class MeanOfFrames(Matcher):
    """Euclidean distance of the mean frames."""

    def describe(self, frames, weights, coherence):
        torch.testing.assert_close(frames.mean(dim=0), coherence)
        return frames.mean(dim=0)

    def stack(self, descriptions):
        return torch.stack(list(descriptions))

    def compare(self, query, gallery):
        return torch.cdist(query[None].double(), gallery.double())[0]

@register("farthest")
class Farthest(torch.nn.Module, MeanOfFrames):
    """The more distant, the nearer."""

    def compare(self, query, gallery):
        return -super().compare(query, gallery)

@register("farthest-mean")
class FarthestMean(Baseline):
    """A mean with a matcher of its own."""

    def __init__(self, backbone):
        super().__init__(backbone)
        self.matcher = Farthest()

    def forward(self, clips):
        return disentangle(self.embed(clips.frames))
'''


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture
def run(bench, results):
    """Runs and returns the record."""

    def call(*words):
        before = {record.name for record in load_records(results)}
        answer = bench(*RUN, *words)
        assert answer.status == 0, answer.err
        (record,) = (record for record in load_records(results) if record.name not in before)
        return record

    return call


def maps(record):
    return {row.protocol: row.mAP for row in record.metrics if row.feature == "before"}


def test_plugin(bench, run, plugin):
    words = ("--plugin", plugin, "--method", "mean")
    matched = run(*words, "--set", "matcher=mean-of-frames")
    assert {row.feature for row in matched.metrics} == {"before"}
    assert maps(matched) == pytest.approx(maps(run("--method", "mean")))
    assert "Euclidean distance of the mean frames." in bench("list", "--plugin", plugin).out


def test_plugin_not_loaded(bench, run, results):
    record = run("--method", "mean")
    experiment = replace(record.experiment, settings={**record.experiment.settings, "matcher": "absent"})
    (results / record.name / "record.json").write_text(
        record_to_json(replace(record, experiment=experiment, name=experiment.name))
    )
    assert "matcher 'absent' not known here; name the file with --plugin FILE.py" in bench("table").err


def test_own_matcher(run, plugin):
    own = maps(run("--plugin", plugin, "--method", "farthest-mean"))
    plain = maps(run("--method", "mean"))
    assert own == maps(run("--method", "mean", "--set", "matcher=farthest")) != plain
    assert maps(run("--method", "farthest-mean", "--set", "matcher=none")) == plain


def test_no_fit_for_a_matcher(bench, run):
    """Before the training, a fitted metric is refused if a matcher, of the settings or of the baseline, would take its place."""
    of_settings = ("mean", "--set", "matcher=nearest-frames")
    for words, which in ((of_settings, "the matcher nearest-frames"), (("case",), "the baseline's own matcher")):
        answer = bench("run", "--dataset", "walkers:tiny", "--epochs", 0, "--set", "metric=xqda", "--method", *words)
        assert answer.status == 2
        said = f"metric=xqda: {which} compares the tracklets, without a metric; omit metric, or add --set matcher=none"
        assert said in answer.err
    assert "fit" in run("--method", "case", "--set", "matcher=none", "--set", "metric=xqda").phases


def test_nearest_frames_in_ranked_lists(bench, run, results):
    record = run("--method", "qan", "--set", "matcher=nearest-frames", "--set", "holdout=0.25")
    assert {row.protocol for row in record.metrics} == {"official", "standard", "full", "validation"}
    assert bench("gallery", record.name, "--queries", 6, "--workers", 0).status == 0
    described = json.loads((results / record.name / "gallery" / "gallery.json").read_text())
    assert len(described["lists"]) == 6
    for each in described["lists"]:
        matches = [rank for rank, shown in enumerate(each["gallery"], 1) if shown["right"]]
        assert matches[:1] == ([each["first_hit_rank"]] if each["first_hit_rank"] <= 10 else [])


def test_nan_features_are_refused_and_not_ranked(bench, plugin):
    plugin.write_text(
        PLUGIN
        + '''
@register("nan-in-one-frame")
class NanInOneFrame(Baseline):
    """A mean whose first frame is NaN."""

    def forward(self, clips):
        frames = self.embed(clips.frames)
        frames[:, 0] = torch.nan
        return disentangle(frames)
'''
    )
    answer = bench(*RUN, "--plugin", plugin, "--method", "nan-in-one-frame", "--set", "matcher=cssa")
    assert answer.status == 2
    assert "bench: features of tracklet" in answer.err
    assert answer.err.splitlines()[-1].endswith(": NaN or infinite")
