"""One feature a tracklet, whatever the trained model was compiled to."""

import torch

from benchmarks.clips.subsets import test_tracklets as split_tracklets
from benchmarks.data.loading import load
from benchmarks.engine.extraction import extract
from benchmarks.engine.model import build_model
from benchmarks.experiments.settings import resolve


def test_batches_of_many_sizes_are_not_compiled():
    settings, data = resolve("small", "mean", ["weights=none"]), load("walkers:tiny")
    queries, _ = split_tracklets(data)
    model, _ = build_model("mean", 8, settings, seed=0)
    plain = extract(model, queries, data.store, settings)
    compiled = []
    model.baseline.backbone.early.compile(backend=lambda graph, _: compiled.append(graph) or graph.forward)
    again = extract(model, queries, data.store, settings)
    assert (plain.before == again.before).all()
    assert compiled == []
    model.baseline.backbone(torch.zeros(1, 3, 64, 32))
    assert len(compiled) == 1
