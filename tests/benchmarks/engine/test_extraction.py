"""One feature per tracklet: chunks merge as the baseline says, exact clips are padded, compiled models run eagerly."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from baselines import BASELINES
from baselines.interface import Clips
from baselines.interface.plugins import add_plugin
from benchmarks.clips.reading import read_frames
from benchmarks.clips.subsets import test_tracklets as split_tracklets
from benchmarks.clips.tracklet_chunks import TrackletChunks
from benchmarks.data.loading import load
from benchmarks.engine.extraction import extract, extract_frames
from benchmarks.engine.model import ReidModel, build_model
from benchmarks.experiments.settings import resolve

PLUGIN = Path(__file__).parents[2] / "plugins" / "stripes.py"


@pytest.fixture
def stripes(monkeypatch):
    monkeypatch.setattr(BASELINES, "entries", dict(BASELINES.entries))
    add_plugin(PLUGIN, [BASELINES])


def built(method: str, *changes: str) -> tuple[ReidModel, dict]:
    settings, data = resolve("small", method, ["weights=none", *changes]), load("walkers:tiny")
    queries, _ = split_tracklets(data)
    model = build_model(method, 8, settings, seed=0)[0].eval()
    for head in ("quality", "reduce"):  # weights that differ
        if hasattr(model.baseline, head):
            torch.nn.init.normal_(getattr(model.baseline, head).weight, generator=torch.Generator().manual_seed(1))
    return model, {"tracklets": queries, "store": data.store, "settings": settings}


def whole(model: ReidModel, tracklets, store, settings) -> np.ndarray:
    """All frames of each tracklet in one pass."""
    with torch.inference_mode():
        frames = [read_frames(store, list(names), settings).unsqueeze(0) for names in tracklets.frames]
        return torch.cat([model(each).coherence for each in frames]).numpy()


@pytest.mark.parametrize("method", ["mean", "qan", "rqen", "max"])
@pytest.mark.parametrize("chunk", [3, 8])
def test_chunks_merge_exactly(method, chunk):
    model, given = built(method, f"test_chunk={chunk}")
    np.testing.assert_allclose(extract(model, **given).before, whole(model, **given), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["mean", "qan", "max"])
def test_filled_clips_count_alike(method):
    """Clips of seven frames, each by itself; the last is repeated from its start, and counts as much as the others."""
    model, given = built(method, "clip_frames=7", "test_clips=filled")
    expected, lengths = [], []
    for names in given["tracklets"].frames:
        clips = [list(names[start : start + 7]) for start in range(0, len(names), 7)]
        lengths += [len(clip) for clip in clips]
        filled = [(clip * 7)[:7] for clip in clips]
        with torch.inference_mode():
            each = [
                model(read_frames(given["store"], clip, given["settings"]).unsqueeze(0)).coherence for clip in filled
            ]
        expected.append(torch.cat(each).amax(dim=0) if method == "max" else torch.cat(each).mean(dim=0))
    assert {1, 2, 3, 4, 5, 6} & set(lengths)  # or nothing is filled
    np.testing.assert_allclose(extract(model, **given).before, torch.stack(expected), rtol=1e-4, atol=1e-5)
    frames = next(extract_frames(model, **given))
    assert len(frames.frames) == len(given["tracklets"].frames.iloc[frames.row])  # without the repeated ones
    np.testing.assert_allclose(frames.coherence, expected[frames.row], rtol=1e-4, atol=1e-5)


def test_block_weights_merge(stripes):
    model, given = built("stripes", "test_chunk=4")
    np.testing.assert_allclose(extract(model, **given).before, whole(model, **given), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["mean", "max", "stripes"])
def test_frame_features_give_tracklet_feature(method, stripes):
    model, given = built(method, "test_chunk=4")
    found = sorted(extract_frames(model, **given), key=lambda each: each.row)
    assert [len(each.frames) for each in found] == [len(frames) for frames in given["tracklets"].frames]
    np.testing.assert_allclose(
        torch.stack([each.coherence for each in found]), extract(model, **given).before, rtol=1e-6
    )
    names = list(given["tracklets"].frames.iloc[0])
    with torch.inference_mode():
        alone = [
            model(read_frames(given["store"], [name], given["settings"]).unsqueeze(0)).frames[0, 0] for name in names
        ]
    torch.testing.assert_close(found[0].frames, torch.stack(alone), rtol=1e-4, atol=1e-5)


def test_exact_clips_are_padded():
    _, given = built("mean", "clip_frames=5")
    chunks = TrackletChunks(given["tracklets"], given["store"], given["settings"], clips="exact")
    seen: dict[int, int] = {}
    for i in range(len(chunks)):
        frames, batch, _ = chunks[i]
        assert frames.shape[1] == 5
        for clip, chunk in zip(frames, batch, strict=True):
            names = list(given["tracklets"].frames.iloc[chunk.row])[chunk.start : chunk.stop]
            names += [names[-1]] * (5 - len(names))
            assert torch.equal(clip, read_frames(given["store"], names, given["settings"]))
            seen[chunk.row] = seen.get(chunk.row, 0) + chunk.stop - chunk.start
    assert seen == {row: len(frames) for row, frames in enumerate(given["tracklets"].frames)}


def test_padding_is_ignored(monkeypatch):
    model, given = built("mean", "clip_frames=5")
    monkeypatch.setattr(type(model.baseline), "test_clips", "exact")
    found = extract(model, **given).before
    with torch.inference_mode():
        for row, names in enumerate(given["tracklets"].frames):
            parts = [list(names[start : start + 5]) for start in range(0, len(names), 5)]
            padded = [part + [part[-1]] * (5 - len(part)) for part in parts]
            of_parts = torch.cat(
                [model(read_frames(given["store"], part, given["settings"]).unsqueeze(0)).coherence for part in padded]
            )
            lengths = torch.tensor([float(len(part)) for part in parts])
            expected = (of_parts * lengths.unsqueeze(1)).sum(dim=0) / lengths.sum()
            np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_whole_tracklets_in_one_pass(monkeypatch):
    model, given = built("lstm", "test_chunk=4")
    monkeypatch.setattr(type(model.baseline), "test_clips", "whole")
    np.testing.assert_allclose(extract(model, **given).before, whole(model, **given), rtol=1e-4, atol=1e-5)


def test_batch_sizes_do_not_recompile():
    model, given = built("mean")
    plain = extract(model, **given)
    compiled = []
    model.baseline.backbone.early.compile(backend=lambda graph, _: compiled.append(graph) or graph.forward)
    again = extract(model, **given)
    assert (plain.before == again.before).all()
    assert compiled == []
    model.baseline.embed(Clips(torch.zeros(1, 1, 3, 64, 32)).frames)
    assert len(compiled) == 1


def test_chunks_reach_merge_in_the_order_of_time(monkeypatch):
    model, given = built("mean", "test_chunk=4")
    monkeypatch.setattr(type(model.baseline), "merge", lambda self, coherence, weights: coherence[0])
    found = extract(model, **given).before
    for row, names in enumerate(given["tracklets"].frames):
        stop = len(names) // -(-len(names) // 4)  # of the first chunk
        with torch.inference_mode():
            clip = read_frames(given["store"], list(names)[:stop], given["settings"]).unsqueeze(0)
            np.testing.assert_allclose(found[row], model(clip).coherence[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["mean", "qan", "lstm"])
def test_a_tracklet_has_one_feature_as_query_and_in_the_gallery(method):
    """Elsewhere the features of queries were pooled one way, and those of the gallery another."""
    model, data = built(method, "test_chunk=4")
    queries = data.pop("tracklets")
    both = pd.concat([queries.assign(subset="query"), queries.assign(subset="gallery")[::-1]], ignore_index=True)
    features = extract(model, both, **data).before
    np.testing.assert_allclose(features[: len(queries)], features[: len(queries) - 1 : -1], atol=1e-5)
