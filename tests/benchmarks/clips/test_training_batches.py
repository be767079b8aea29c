"""Which frames make a clip, which clips a batch, which chunks a tracklet; each draw a function of (seed, i)."""

import hashlib
import random

import cv2
import numpy as np
import pytest
import torch

from benchmarks.clips.sampling import batches_per_epoch, clip_positions, epoch_batches
from benchmarks.clips.tracklet_chunks import TrackletChunks as Chunks
from benchmarks.clips.training_batches import TrainingBatches
from benchmarks.data.frame_stores import FolderStore
from benchmarks.data.table import make_table
from benchmarks.experiments.settings import resolve


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_restricted_sampling():
    drawn = np.array([clip_positions(21, 7, "restricted", 1, draw(seed)) for seed in range(300)])
    for part in range(7):
        assert set(drawn[:, part]) == {3 * part, 3 * part + 1, 3 * part + 2}


def test_consecutive_sampling_reaches_both_ends():
    drawn = [tuple(clip_positions(9, 7, "consecutive", 1, draw(seed))) for seed in range(200)]
    assert set(drawn) == {tuple(range(start, start + 7)) for start in (0, 1, 2)}


def test_spacing():
    drawn = {tuple(clip_positions(10, 4, "consecutive", 3, draw(seed))) for seed in range(20)}
    assert drawn == {(0, 3, 6, 9)}


def test_even_sampling():
    assert clip_positions(9, 3, "even", 1, draw()).tolist() == [1, 4, 7]
    assert clip_positions(8, 2, "even", 1, draw()).tolist() == [2, 6]


@pytest.mark.parametrize(
    ("length", "parts"),
    [
        (9, [{0, 1}, {2, 3}, {4, 5}, {6, 7}, {8}, {8}, {8}, {8}]),
        (20, [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}, {9, 10, 11}, {12, 13, 14}, {15, 16, 17}, {18, 19}, {19}]),
        (16, [{2 * part, 2 * part + 1} for part in range(8)]),
        (5, [{0}, {1}, {2}, {3}, {4}, {4}, {4}, {4}]),
    ],
)
def test_padded_sampling(length, parts):
    """Parts of ceil(F / 8) frames, filled with the last frame: the cases of STE-NVAN's clips, by hand."""
    drawn = np.array([clip_positions(length, 8, "padded", 1, draw(seed)) for seed in range(200)])
    assert [set(column) for column in drawn.T.tolist()] == parts


def test_padded_parts_are_drawn_independently():
    offsets = [set(clip_positions(16, 8, "padded", 1, draw(seed)) % 2) for seed in range(5)]
    assert {0, 1} in offsets


@pytest.mark.parametrize("sampling", ["restricted", "consecutive", "even"])
@pytest.mark.parametrize("length", [1, 2, 6])
def test_short_tracklet_loops(sampling, length):
    positions = clip_positions(length, 7, sampling, 1, draw())
    assert positions.tolist() == [i % length for i in range(7)]


@pytest.mark.parametrize("sampling", ["restricted", "consecutive", "even"])
@pytest.mark.parametrize("length", [7, 8, 50, 920])
def test_positions_are_valid(sampling, length):
    for seed in range(20):
        positions = clip_positions(length, 7, sampling, 1, draw(seed))
        assert (np.diff(positions) > 0).all()
        assert positions.min() >= 0
        assert positions.max() < length


@pytest.mark.parametrize(("count", "batches"), [(625, 78), (702, 88), (150, 19), (8, 1), (5, 1), (12, 2)])
def test_epoch_takes_every_identity_once(count, batches):
    drawn = epoch_batches(np.arange(count), 8, seed=3, epoch=1)
    assert len(drawn) == batches == batches_per_epoch(count, 8)
    assert sorted(np.concatenate(drawn)) == list(range(count))
    assert max(map(len, drawn)) - min(map(len, drawn)) <= 1


def test_epoch_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return np.concatenate(epoch_batches(np.arange(30), 8, seed, epoch)).tolist()

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Six persons, two tracklets of five frames each; a frame's pixel says person, tracklet and frame."""
    root = tmp_path_factory.mktemp("people")
    rows = []
    for pid in range(6):
        for camid in range(2):
            frames = [f"{pid}{camid}{t}.png" for t in range(5)]
            for t, frame in enumerate(frames):
                image = np.full((16, 8, 3), (t, camid, pid), np.uint8)  # BGR
                image[0, 0] = 255
                cv2.imwrite(str(root / frame), image)
            rows.append(("train", 10 + pid, camid, f"{pid}-{camid}", frames))
    return make_table(rows), FolderStore(root)


def batches(people, *changes: str, seed: int = 0) -> TrainingBatches:
    settings = resolve("small", "mean", ["height=16", "width=8", "clip_frames=3", "identities=3", "clips=4", *changes])
    return TrainingBatches(*people, settings, seed)


def test_batch_is_p_by_k(people):
    batch = batches(people)[0]
    assert batch.frames.shape == (12, 3, 3, 16, 8)
    assert batch.frames.dtype == torch.uint8
    assert batch.frames.permute(0, 1, 3, 4, 2).is_contiguous()  # NHWC memory: one copy
    assert batch.labels.tolist() == batch.frames[:, 0, 0, 8, 4].tolist()  # red is the person
    assert len(set(batch.labels.tolist())) == 3
    for label in set(batch.labels.tolist()):
        cameras = batch.frames[batch.labels == label][:, 0, 1, 8, 4]
        assert sorted(cameras.tolist()) == [0, 0, 1, 1]  # both tracklets, each before any comes again
    assert (batch.frames[:, :, 2, 8, 4].int().diff(dim=1) > 0).all()  # blue is time: in order


def test_independent_tracklets(people):
    """Four draws from two tracklets give one of them alone with probability 1/8."""
    drawn = [batches(people, "tracklets=independent")[i] for i in range(60)]
    cameras = torch.cat([batch.frames[:, 0, 1, 8, 4].view(-1, 4).int() for batch in drawn]).sum(dim=1)
    assert 0.05 < ((cameras == 0) | (cameras == 4)).double().mean() < 0.2
    assert all((batch.labels.view(-1, 4) == batch.labels.view(-1, 4)[:, :1]).all() for batch in drawn)


def test_batch_depends_on_seed_and_index(people):
    straight = [batches(people)[i] for i in range(4)]
    later = batches(people)
    for i in (3, 1):
        again = later[i]
        assert again.flow is None  # nobody asked for it
        assert all(
            torch.equal(torch.as_tensor(a), torch.as_tensor(b))
            for a, b in zip(straight[i][:-1], again[:-1], strict=True)
        )
    assert not torch.equal(straight[0].frames, straight[2].frames)
    assert straight[0].seed != straight[1].seed


def named_draw(*parts: object) -> int:
    """The seed of a draw: the first eight bytes of a sha256 of its names."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:8], "big") // 2


def test_draws_are_named_by_seed_and_batch(people):
    """Later versions draw the same batches."""
    training = batches(people, "epochs=5", seed=7)
    assert len(training) == 10  # two batches for each epoch
    for i in range(10):
        batch = training[i]
        assert batch.seed == named_draw("device", 7, i)
        pids = epoch_batches(np.arange(10, 16), 3, 7, i // 2)[i % 2]
        assert batch.labels.view(3, 4)[:, 0].tolist() == [pid - 10 for pid in pids]
        first = np.random.Generator(np.random.PCG64(named_draw("batch", 7, i))).permutation(2)
        assert batch.frames[:2, 0, 1, 8, 4].tolist() == first.tolist()  # the cameras of its first person


@pytest.mark.parametrize("change", ["sampling=even", "spacing=2"])
def test_clips_are_sampled_as_the_settings_say(people, change):
    times = batches(people, "sampling=consecutive", change)[0].frames[:, :, 2, 8, 4]
    assert times.tolist() == [[0, 2, 4]] * 12


def test_other_seed_gives_other_batches(people):
    np.random.seed(0)
    torch.manual_seed(0)
    assert not torch.equal(batches(people, seed=1)[0].frames, batches(people, seed=2)[0].frames)


def test_global_random_states_do_not_matter(people):
    """Elsewhere only torch was seeded, and the sampler drew from `random` and numpy."""

    def drawn(state: int) -> list:
        random.seed(state)
        np.random.seed(state)
        torch.manual_seed(state)
        return [*batches(people, "erase=0.5", "crop=0.5")[1][:-1], *epoch_batches(np.arange(20), 8, seed=3, epoch=1)]

    for one, other in zip(drawn(1), drawn(2), strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_shuffle_in_training(people):
    for shuffle in ("train", "both"):
        times = torch.cat([batches(people, f"shuffle={shuffle}")[i].frames[:, :, 2, 8, 4].int() for i in range(4)])
        assert not (times.diff(dim=1) > 0).all()
    assert (
        torch.cat([batches(people, "shuffle=test")[i].frames[:, :, 2, 8, 4].int() for i in range(4)]).diff(dim=1) > 0
    ).all()


def test_erased_regions(people):
    drawn = torch.cat([batches(people, "height=100", "width=50")[i].erase for i in range(40)]).double()
    area = (drawn[:, 2] - drawn[:, 0]) * (drawn[:, 3] - drawn[:, 1]) / 5000
    assert 0.4 < (area > 0).double().mean() < 0.6
    assert area.max() <= 0.41
    assert area[area > 0].min() >= 0.015
    assert (area[area > 0][:-1] != area[area > 0][1:]).double().mean() > 0.9  # each clip has an area of its own
    assert (drawn >= 0).all()
    assert (drawn[:, 2] <= 100).all()
    assert (drawn[:, 3] <= 50).all()
    assert not batches(people, "erase=0")[0].erase.any()


def test_each_erased_region_has_a_shape_and_a_place_of_its_own(people):
    """Aspect ratios are between 0.3 and 3.3, as often tall as wide, and regions are anywhere in the image."""
    drawn = batches(people, "height=200", "width=100", "erase=1")[0].erase
    assert drawn.dtype == torch.int64
    top, left, bottom, right = drawn.double().T
    aspect = (bottom - top) / (right - left)
    assert 0.29 < aspect.min() < 1 < aspect.max() < 3.4
    assert aspect.unique().numel() == 12
    assert (top / (200 - (bottom - top))).std() > 0.15
    assert (left / (100 - (right - left))).std() > 0.15
    small = torch.cat(
        [batches(people, "erase=1")[i].erase for i in range(20)]
    )  # of 16 x 8 pixels: they reach each edge
    assert (small[:, :2].min(dim=0).values.tolist(), small[:, 2:].max(dim=0).values.tolist()) == ([0, 0], [16, 8])


def test_crop_positions(people):
    size = ("height=16", "width=8")  # enlarged to 18 x 9
    cropped = [batches(people, "crop=0.5", *size)[i] for i in range(40)]
    drawn = torch.cat([batch.crop for batch in cropped])
    kept = (drawn >= 0).all(dim=1)
    assert 0.4 < kept.double().mean() < 0.6
    assert (drawn[~kept] == -1).all()
    assert drawn[kept].min(dim=0).values.tolist() == [0, 0]
    assert drawn[kept].max(dim=0).values.tolist() == [2, 1]
    plain = batches(people, *size)[3]
    assert (plain.crop == -1).all()
    for field in ("frames", "labels", "flip", "erase"):
        assert torch.equal(getattr(plain, field), getattr(cropped[3], field))


def test_each_frame_has_its_own_augmentation(people):
    size = ("height=16", "width=8", "crop=0.5")
    for batch in (batches(people, *size, "augment=frame")[i] for i in range(3)):
        assert len(batch.flip) == len(batch.erase) == len(batch.crop) == 36
        assert len(set(map(tuple, batch.crop.tolist()))) > 2
        assert any(set(flips) == {True, False} for flips in batch.flip.view(12, 3).tolist())


def test_processes_share_the_draws_of_frames(people):
    settings = resolve("small", "mean", ["height=16", "width=8", "clip_frames=3", "crop=0.5", "augment=frame"])
    whole = TrainingBatches(*people, settings, 0)[0]
    parts = [TrainingBatches(*people, settings, 0, rank=rank, world=2)[0] for rank in range(2)]
    for field in ("frames", "flip", "erase", "crop"):
        assert torch.equal(torch.cat([getattr(part, field) for part in parts]), getattr(whole, field))


@pytest.mark.parametrize("augment", ["clip", "frame"])
def test_crops_are_cut_from_the_source(tmp_path, augment):
    """A frame of 36 x 18 pixels, wanted as 16 x 8: the crop of 18 x 9 has details that a frame of 16 x 8 has lost."""
    noise = np.random.default_rng(0).integers(0, 256, (36, 18, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), noise)
    table = make_table([("train", pid, 0, str(pid), ["a.png"] * 3) for pid in range(3)])
    changes = ("height=16", "width=8", "crop=0.7", f"augment={augment}")
    found = batches((table, FolderStore(tmp_path)), *changes, "crop_from=source")[0]
    blurred = batches((table, FolderStore(tmp_path)), *changes)[0]
    assert torch.equal(found.crop, blurred.crop)  # the same places
    larger = noise.reshape(18, 2, 9, 2, 3).mean(axis=(1, 3))[..., ::-1]  # by half, RGB
    crops = found.crop if augment == "frame" else found.crop.repeat_interleave(3, dim=0)
    assert {top >= 0 for top, _ in crops.tolist()} == {True, False}
    for frame, plain, (top, left) in zip(found.frames.flatten(0, 1), blurred.frames.flatten(0, 1), crops, strict=True):
        if top < 0:
            assert torch.equal(frame, plain)
        else:
            part = larger[top : top + 16, left : left + 8]
            assert np.abs(frame.permute(1, 2, 0).numpy() - part).max() <= 1  # rounding


@pytest.mark.parametrize(
    ("count", "expected"), [(0, [0, 1, 2, 3, 4]), (2, [0, 2]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_test_frames_setting(people, count, expected):
    settings = resolve("small", "mean", ["height=16", "width=8", f"test_frames={count}"])
    assert Chunks(*people, settings)[0].frames[:, :, 2, 8, 4].tolist() == [expected] * 12


def test_padded_parts_at_test(people):
    """Five frames in three parts of two: 0 1, 2 3, 4 4; in eight parts of one, the last of which repeat the last frame."""
    for count, expected in ((3, [0, 2, 4]), (4, [0, 2, 4, 4]), (8, [0, 1, 2, 3, 4, 4, 4, 4])):
        settings = resolve("small", "mean", ["height=16", "width=8", "sampling=padded", f"test_frames={count}"])
        assert Chunks(*people, settings)[0].frames[:, :, 2, 8, 4].tolist() == [expected] * 12


def test_filled_clips_repeat_their_own_frames(people):
    settings = resolve("small", "mean", ["height=16", "width=8", "clip_frames=3"])
    assert Chunks(*people, settings, clips="filled")[0].frames[:, :, 2, 8, 4].tolist() == [[0, 1, 2], [3, 4, 3]] * 12


def test_exact_clips_end_with_their_last_frame(people):
    settings = resolve("small", "mean", ["height=16", "width=8", "clip_frames=3"])
    assert Chunks(*people, settings, clips="exact")[0].frames[:, :, 2, 8, 4].tolist() == [[0, 1, 2], [3, 4, 4]] * 12


def test_whole_tracklets_are_one_clip_each(people):
    settings = resolve("small", "mean", ["height=16", "width=8", "test_chunk=2", "clip_frames=3"])
    assert Chunks(*people, settings, clips="whole")[0].frames[:, :, 2, 8, 4].tolist() == [[0, 1, 2, 3, 4]] * 12


def test_a_chunk_longer_than_the_budget_is_alone(people):
    settings = resolve("small", "mean", ["height=16", "width=8"])
    assert [len(chunks) for _, chunks in Chunks(*people, settings, budget=4).batches] == [1] * 12


def test_chunks_cover_every_frame(people):
    settings = resolve("small", "mean", ["height=16", "width=8", "test_chunk=2"])
    table, store = people
    seen: dict[int, list[int]] = {}
    chunks = Chunks(table, store, settings, budget=6)
    for i in range(len(chunks)):
        frames, batch, _ = chunks[i]
        assert frames.shape[0] * frames.shape[1] <= 6
        for clip, (row, _, _) in zip(frames, batch, strict=True):
            assert clip[0, 0, 8, 4] == table.pid[row] - 10
            seen.setdefault(row, []).extend(clip[:, 2, 8, 4].tolist())
            assert len(clip) in (1, 2)
    assert {row: sorted(times) for row, times in seen.items()} == {row: [0, 1, 2, 3, 4] for row in range(len(table))}


def test_shuffle_at_test_is_reproducible(people):
    def times(shuffle: str = "test") -> list:
        settings = resolve("small", "mean", ["height=16", "width=8", f"shuffle={shuffle}"])
        return Chunks(*people, settings)[0].frames[:, :, 2, 8, 4].tolist()

    assert times() == times()
    assert all(sorted(row) == [0, 1, 2, 3, 4] for row in times())
    assert any(row != [0, 1, 2, 3, 4] for row in times())
    assert times("both") == times()
    # The order of a tracklet depends on its name and the seed alone.
    drawn = np.random.Generator(np.random.PCG64(named_draw("shuffled", 0, people[0].tracklet[3])))
    assert times()[3] == drawn.permutation(5).tolist()
