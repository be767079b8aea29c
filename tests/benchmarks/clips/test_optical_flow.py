"""Optical flow: of known motion, from the cache, of mirrored clips and of shuffled frames."""

from dataclasses import replace
from itertools import product

import cv2
import numpy as np
import pytest
import simplejpeg
import torch

from baselines import BASELINES
from baselines.backbones.build import build_backbone
from benchmarks.clips.optical_flow import compute_flow, flow_store, read_flow, to_pixels
from benchmarks.clips.reading import FlowStacks
from benchmarks.clips.tracklet_chunks import TrackletChunks
from benchmarks.clips.training_batches import TrainingBatches
from benchmarks.data.frame_stores import FolderStore, PackedStore, write_pack
from benchmarks.data.loading import load
from benchmarks.data.table import make_table
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


HEIGHT, WIDTH = SETTINGS.height, SETTINGS.width


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Two persons with tracklets of 58 and of 9 frames; the field of a tracklet's frame f is 4 f everywhere, and its store."""
    root = tmp_path_factory.mktemp("numbered")
    rows, fields = [], []
    for pid, length in product(range(2), (58, 9)):
        frames = [f"{pid}-{length}-{number}.png" for number in range(length)]
        for number, frame in enumerate(frames):
            cv2.imwrite(str(root / frame), np.full((HEIGHT, WIDTH, 3), 4 * number, np.uint8))
            image = np.full((2 * HEIGHT, WIDTH, 1), 4 * number, np.uint8)
            fields.append((frame, simplejpeg.encode_jpeg(image, 95, "GRAY")))
        rows.append(("train", pid, length, f"{pid}-{length}", frames))
    write_pack(root / "flow.arrow", fields)
    return make_table(rows), FolderStore(root), FlowStacks(PackedStore(root / "flow.arrow"), 5)


def numbers(images: torch.Tensor) -> torch.Tensor:
    """Which frames or fields these are: (..., planes, H, W) to (...)."""
    assert (images.float().std(dim=(-3, -2, -1)) < 1).all()
    return images.float().mean(dim=(-3, -2, -1)).div(4).round().int()


@pytest.mark.parametrize("sampling", ["restricted", "consecutive", "even"])
def test_a_stack_holds_the_fields_around_its_frame_in_the_video(numbered, sampling):
    settings = replace(SETTINGS, clip_frames=7, sampling=sampling)
    batch = TrainingBatches(numbered[0], numbered[1], settings, 0, numbered[2])[0]
    own, stacks = numbers(batch.frames), numbers(batch.flow)
    assert stacks.shape == (4, 7, 5)
    last = torch.where(own.amax(dim=1, keepdim=True) < 9, 8, 57)  # of the tracklet
    for offset in range(-2, 3):
        assert (stacks[:, :, offset + 2] == torch.minimum((own + offset).clamp(min=0), last)).all()


def test_one_field_is_that_of_the_frame(numbered):
    batch = TrainingBatches(numbered[0], numbered[1], SETTINGS, 0, numbered[2]._replace(fields=1))[0]
    assert torch.equal(numbers(batch.flow), numbers(batch.frames).unsqueeze(2))


@pytest.mark.parametrize("test_frames", [0, 20])
def test_stacks_at_test_cross_chunks_and_end_with_the_tracklet(numbered, test_frames):
    settings = replace(SETTINGS, test_chunk=8, test_frames=test_frames)
    table, store, flow = numbered
    chunks = TrackletChunks(table, store, settings, flow=flow)
    seen = set()
    for frames, batch, motion in (chunks[i] for i in range(len(chunks))):
        for chunk, own, stacks in zip(batch, numbers(frames), numbers(motion), strict=True):
            last = len(table.frames[chunk.row]) - 1
            for frame, stack in zip(own.tolist(), stacks.tolist(), strict=True):
                assert stack == [min(max(frame + offset, 0), last) for offset in range(-2, 3)]
                seen.add((chunk.row, frame))
    assert len(seen) == sum(min(len(frames), test_frames or 58) for frames in table.frames)


def test_each_field_is_decoded_once(numbered, monkeypatch):
    from benchmarks.clips import reading

    asked = []
    monkeypatch.setattr(
        reading, "read_flow", lambda store, names, each: asked.extend(names) or read_flow(store, names, each)
    )
    TrainingBatches(numbered[0], numbered[1], replace(SETTINGS, clips=4), 0, numbered[2])[0]
    assert len(asked) == len(set(asked)) > 0


@pytest.mark.parametrize("shuffle", ["both", "train"])
def test_flow_of_shuffled_frames(shuffle):
    data = load("walkers-gait:tiny")
    flow = FlowStacks(flow_store(data, SETTINGS), 3)
    training = data.table[data.table.subset == "train"]
    batch = TrainingBatches(training, data.store, replace(SETTINGS, shuffle=shuffle), 0, flow)[0]
    assert (batch.flow[1].numpy() == between_neighbours(batch.frames[1])).all()


def between_neighbours(frames):
    """Three fields around each of four shuffled frames."""
    return compute_flow(frames.permute(0, 2, 3, 1).numpy(), SETTINGS)[[[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]]


def test_flow_of_frames_shuffled_at_test():
    data = load("walkers-gait:tiny")
    flow = FlowStacks(flow_store(data, SETTINGS), 3)
    settings = replace(SETTINGS, shuffle="test", clip_frames=4)
    chunks = TrackletChunks(data.table[:1], data.store, settings, 0, flow, "exact", budget=4)
    assert (chunks[0].flow[0].numpy() == between_neighbours(chunks[0].frames[0])).all()


def test_mirroring_negates_u():
    model = ReidModel(BASELINES.get("flow")(build_backbone("small", "none")[0]), 2, SETTINGS)
    flow = torch.randint(1, 256, (2, 3, 5, 2, 8, 6), dtype=torch.uint8)
    plain = model.prepare_flow(flow)
    mirrored = model.prepare_flow(flow, torch.tensor([False, True]))
    assert plain.shape == flow.shape
    assert (mirrored[0] == plain[0]).all()
    assert (mirrored[1, :, :, 0] == -plain[1, :, :, 0].flip(-1)).all()
    assert (mirrored[1, :, :, 1] == plain[1, :, :, 1].flip(-1)).all()
