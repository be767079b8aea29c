"""Optical flow: of known motion, from the cache, of mirrored clips and of shuffled frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines import BASELINES
from baselines.backbones.build import build_backbone
from benchmarks.clips.optical_flow import compute_flow, flow_store, read_flow, to_pixels
from benchmarks.clips.tracklet_chunks import TrackletChunks
from benchmarks.clips.training_batches import TrainingBatches
from benchmarks.data.loading import load
from benchmarks.engine.model import ReidModel
from benchmarks.experiments.settings import resolve
from benchmarks.paths import cache_dir

SETTINGS = resolve("control", "flow", ["clip_frames=4", "identities=2", "clips=2", "epochs=1"])


def texture(height: int, width: int) -> np.ndarray:
    """A smooth image with detail everywhere, (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    wave = np.sin(x / 3.0) + np.cos(y / 4.0) + np.sin((x + 2 * y) / 7.0)
    return np.repeat((128 + 40 * wave)[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize(("right", "down"), [(2, 0), (-2, 0), (0, 3), (1, -2)])
def test_flow_of_a_shifted_image(right, down):
    wide = texture(160, 96)
    frames = np.stack([wide[20 - k * down : 148 - k * down, 16 - k * right : 80 - k * right] for k in range(3)])
    flow = to_pixels(torch.from_numpy(compute_flow(frames, SETTINGS)))
    inner = flow[:, :, 24:-24, 16:-16].mean(dim=(2, 3))
    torch.testing.assert_close(inner, torch.tensor([[right, down]] * 3).float(), rtol=0, atol=0.3)


def test_small_moving_part():
    def frame(k: int) -> np.ndarray:
        picture = texture(64, 32)
        picture[20:50, 10 + 2 * k : 14 + 2 * k] = 240
        return picture

    right = to_pixels(torch.from_numpy(compute_flow(np.stack([frame(0), frame(1)]), SETTINGS)))[0, 0]
    assert right[24:46, 10:14].mean() == pytest.approx(2, abs=0.1)
    assert right[24:46, 20:].abs().mean() < 0.1


def test_no_motion_and_last_frame():
    still = np.stack([texture(64, 32)] * 2)
    assert (to_pixels(torch.from_numpy(compute_flow(still, SETTINGS))) == 0).all()
    moving = np.stack([texture(64, 48)[:, 4 * k : 4 * k + 32] for k in range(4)])
    flow = compute_flow(moving, SETTINGS)
    assert (flow[-1] == flow[-2]).all()
    assert (compute_flow(still[:1], SETTINGS) == 128).all()  # nothing follows a single frame


def test_cache_holds_flow_between_neighbours():
    data = load("walkers-gait:tiny")
    store = flow_store(data, SETTINGS)
    frames = data.table.frames[data.table.frames.map(len).idxmax()]
    pixels = TrackletChunks(data.table[data.table.frames.map(len) == len(frames)], data.store, SETTINGS)[0].frames
    kept = read_flow(store, frames[:5], SETTINGS).int()
    expected = torch.from_numpy(compute_flow(pixels[0].permute(0, 2, 3, 1).numpy(), SETTINGS)).int()[:5]
    assert (kept - expected).abs().float().mean() < 1.5  # of 255: what the JPEG costs


def test_interrupted_flow_continues(monkeypatch):
    from benchmarks.clips import optical_flow

    monkeypatch.setattr(optical_flow, "FRAMES_PER_FILE", 100)
    data = load("walkers-gait@7:tiny")

    def stop(done, _):
        if done > 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flow_store(data, SETTINGS, stop)
    made = {file: file.stat().st_mtime_ns for file in (cache_dir() / "flow").glob("walkers-gait@7*/*.arrow")}
    assert made
    store = flow_store(data, SETTINGS)
    assert {file: file.stat().st_mtime_ns for file in made} == made
    assert set(store.sizes(name for frames in data.table.frames for name in frames)) == {
        name for frames in data.table.frames for name in frames
    }


def test_flow_of_shuffled_frames():
    data = load("walkers-gait:tiny")
    store = flow_store(data, SETTINGS)
    training = data.table[data.table.subset == "train"]
    batch = TrainingBatches(training, data.store, replace(SETTINGS, shuffle="both"), 0, store)[0]
    expected = compute_flow(batch.frames[1].permute(0, 2, 3, 1).numpy(), SETTINGS)
    assert (batch.flow[1].numpy() == expected).all()


def test_mirroring_negates_u():
    model = ReidModel(BASELINES.get("flow")(build_backbone("small", "none")[0]), 2, SETTINGS)
    flow = torch.randint(1, 256, (2, 3, 2, 8, 6), dtype=torch.uint8)
    plain = model.prepare_flow(flow)
    mirrored = model.prepare_flow(flow, torch.tensor([False, True]))
    assert (mirrored[0] == plain[0]).all()
    assert (mirrored[1, :, 0] == -plain[1, :, 0].flip(-1)).all()
    assert (mirrored[1, :, 1] == plain[1, :, 1].flip(-1)).all()
