"""RAFT from a file: frame sizes, batches, which network a file holds, and its digest."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.models import optical_flow as torchvision_flow

from baselines.interface.errors import UserError
from benchmarks.clips import optical_flow, raft
from benchmarks.data.loading import load
from benchmarks.engine.run import plan
from benchmarks.experiments.settings import resolve


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Randomly initialised networks of both sizes, and a file with other weights."""
    folder = tmp_path_factory.mktemp("raft")
    made = SimpleNamespace(small=folder / "small.pth", large=folder / "large.pth", other=folder / "other.pth")
    for name in ("small", "large"):
        torch.manual_seed(1)
        torch.save(getattr(torchvision_flow, f"raft_{name}")(weights=None).state_dict(), getattr(made, name))
    torch.save({"weight": torch.zeros(3)}, made.other)
    return made


@pytest.fixture
def constant(monkeypatch):
    """A network for which everything moves 8 to the right and 4 up. It returns the shapes of its batches."""
    seen = []

    def model(first, second):
        assert first.shape == second.shape
        seen.append(tuple(first.shape))
        return [torch.tensor([8.0, -4.0]).reshape(1, 2, 1, 1).expand(len(first), 2, *first.shape[-2:])]

    monkeypatch.setattr(raft, "_model", lambda file, device: model)
    return seen


def frames(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "larger"),
    [((64, 32), (256, 128)), ((256, 128), (256, 128)), ((150, 90), (216, 128)), ((20, 40), (128, 256))],
)
def test_small_frames_are_enlarged(constant, files, size, larger):
    found = raft.raft_flow(frames(2, *size), str(files.small))
    assert constant == [(1, 3, *larger)]
    assert found.shape == (1, *size, 2)
    np.testing.assert_allclose(found[..., 0], 8 * size[1] / larger[1], rtol=1e-6)
    np.testing.assert_allclose(found[..., 1], -4 * size[0] / larger[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["small", "large"])
def test_file_decides_the_network(files, name):
    file = getattr(files, name)
    model = getattr(torchvision_flow, f"raft_{name}")(weights=None).eval()
    model.load_state_dict(torch.load(file, weights_only=True))
    images = frames(2, 128, 128)
    preset = torchvision_flow.Raft_Small_Weights.DEFAULT.transforms()
    pair = preset(*(torch.from_numpy(image).permute(2, 0, 1)[None] for image in images))
    with torch.inference_mode():
        expected = model(*pair)[-1][0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(raft.raft_flow(images, str(file))[0], expected, rtol=1e-3, atol=1e-3)


def test_batches_of_pairs_change_nothing(files, monkeypatch):
    images = frames(4, 128, 128)
    together = raft.raft_flow(images, str(files.small))
    monkeypatch.setattr(raft, "PAIRS", 2)
    np.testing.assert_allclose(raft.raft_flow(images, str(files.small)), together, rtol=1e-3, atol=1e-3)


def test_cache_distinguishes_weights(constant, files, tmp_path):
    data = load("walkers-gait@8:tiny")
    data = replace(data, table=data.table.head(2))
    settings = resolve("control", "flow")
    one, same = (
        replace(settings, flow="raft", flow_weights=str(file)) for file in (files.small, tmp_path / "same.pth")
    )
    (tmp_path / "same.pth").write_bytes(files.small.read_bytes())
    other = replace(settings, flow="raft", flow_weights=str(files.large))
    places = [optical_flow.flow_store(data, each).files[0].parent for each in (settings, one, same, other)]
    assert places[1] == places[2]
    assert len(set(places)) == 3
    kept = optical_flow.to_pixels(
        optical_flow.read_flow(optical_flow.flow_store(data, one), data.table.frames.iloc[0][:3], one)
    )
    torch.testing.assert_close(kept[:, 0], torch.full((3, 32, 16), 1.0), atol=0.05, rtol=0)  # 8 of 128 pixels
    torch.testing.assert_close(kept[:, 1], torch.full((3, 32, 16), -0.5), atol=0.05, rtol=0)


def test_weights_are_part_of_flow_runs_only(files):
    def name(method, file):
        changes = ["flow=raft", f"flow_weights={file}"]
        options = {"recipe": "control", "seed": 0, "split": 0, "root": None, "report": lambda *_: None}
        return plan(method, "walkers-gait:tiny", changes=changes, **options)[0].name

    assert name("flow", files.small) != name("flow", files.large)
    assert name("mean", files.small) == name("mean", files.large)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("none", "flow=raft needs a file"),
        ("nowhere.pth", "nowhere.pth: no such file"),
        ("other", "is neither raft_small"),
    ],
)
def test_wrong_weights_say_what_to_get(files, weights, message):
    with pytest.raises(UserError, match=message) as caught:
        raft.raft_flow(frames(2, 128, 128), str(getattr(files, weights, weights)))
    assert "raft_large_C_T_SKHT_V2-ff5fadd5.pth" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_in_the_torchvision_cache(files, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "small.pth").write_bytes(files.small.read_bytes())
    assert raft.weights_file("small.pth") == tmp_path / "checkpoints" / "small.pth"
