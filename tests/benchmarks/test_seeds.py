"""Draws by name: records of one seed can be compared only as long as no stream takes another name."""

import hashlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks.clips.sampling import epoch_batches
from benchmarks.clips.subsets import hold_out
from benchmarks.clips.tracklet_chunks import TrackletChunks
from benchmarks.clips.training_batches import TrainingBatches
from benchmarks.data.frame_stores import FolderStore
from benchmarks.data.table import make_table
from benchmarks.evaluation.xqda import draw_pairs
from benchmarks.experiments.settings import resolve


def seed_of(*parts):
    """63 bits of the sha256 of the parts."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()
    return int(digest[:16], 16) // 2


def stream(*parts):
    return np.random.Generator(np.random.PCG64(seed_of(*parts)))


@pytest.fixture
def people(tmp_path):
    """Five persons with four tracklets each; a frame's green is its tracklet."""
    rows = []
    for pid in range(5):
        for tracklet in range(4):
            name = f"{pid}{tracklet}.png"
            cv2.imwrite(str(tmp_path / name), np.full((16, 8, 3), 50 * tracklet, np.uint8))
            rows.append(("train", pid, tracklet, name, [name] * 9))
    return make_table(rows), FolderStore(tmp_path)


def test_identities_of_an_epoch():
    drawn = np.concatenate(epoch_batches(np.arange(20), 8, seed=3, epoch=1))
    assert drawn.tolist() == stream("epoch", 3, 1).permutation(20).tolist()


def test_batch(people):
    settings = resolve("small", "mean", ["height=16", "width=8", "clip_frames=3", "identities=2", "clips=3"])
    batch = TrainingBatches(*people, settings, seed=7)[4]
    draw = stream("batch", 7, 4)
    tracklets = [draw.permutation(4)[:3].tolist() for _ in range(len(batch.labels) // 3)]
    assert (batch.frames[:, 0, 1, 8, 4] // 50).view(-1, 3).tolist() == tracklets
    assert batch.seed == seed_of("device", 7, 4)


def test_shuffled_frames(people):
    chunks = TrackletChunks(*people, resolve("small", "mean", ["shuffle=test"]), seed=2)
    assert chunks.ordered(6).tolist() == stream("shuffled", 2, "12.png").permutation(9).tolist()


def test_people_held_out(people):
    data = SimpleNamespace(table=people[0], name="somewhere", split=3)
    _, held = hold_out(data, resolve("small", "mean", ["holdout=0.4"]))
    assert set(held.pid) == set(stream("holdout", "somewhere", 3).permutation(5)[:2])


def test_pairs_of_xqda():
    pids, camids = np.repeat([4, 9], 8), np.arange(16)
    draw = stream("xqda", 5)
    halves = [draw.permutation(np.arange(8) + start) for start in (0, 8)]
    first, second = draw_pairs(pids, camids, seed=5)
    assert first.tolist() == [*halves[0][:4], *halves[1][:4]]
    assert second.tolist() == [*halves[0][4:], *halves[1][4:]]
