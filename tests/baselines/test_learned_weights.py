"""What QAN, RQEN and DRSTA learn on drawn people: a spoilt frame, or a spoilt part of one, loses weight."""

from collections.abc import Callable

import numpy as np
import pytest
import simplejpeg
import torch
from torch.nn import functional as F

from baselines import BASELINES
from baselines.backbones.build import build_backbone
from baselines.interface import Clips
from benchmarks.data.find import find_dataset

SPOILT = 2  # the frame of each clip that the tests look at


@pytest.fixture(scope="module")
def people() -> tuple[torch.Tensor, torch.Tensor]:
    """Two clips of three frames of each of 20 people, (40, 3, 3, 32, 16), and whose they are."""
    world = find_dataset("walkers-appearance:demo-32x16")
    rows = world.tracklets().query("subset == 'train' and frames.str.len() >= 3")
    rows = rows.groupby("pid").filter(lambda own: len(own) >= 2).groupby("pid").head(2).head(40)
    drawn = [
        [simplejpeg.decode_jpeg(image) for image in world.draw(row._replace(frames=row.frames[:3]))]
        for row in rows.itertuples(index=False)
    ]
    clips = torch.from_numpy(np.array(drawn)).permute(0, 1, 4, 2, 3) / 127.5 - 1
    return clips, torch.from_numpy(rows.pid.factorize()[0])


def learn(
    name: str, people: tuple[torch.Tensor, torch.Tensor], spoil: Callable[[torch.Tensor], None]
) -> torch.nn.Module:
    """A model that has learned to tell the people apart by the coherence of clips that `spoil` has changed."""
    torch.manual_seed(0)
    clips, labels = people
    model = BASELINES.get(name)(build_backbone("small", "none")[0]).train()
    classifier, draw = torch.nn.Linear(model.channels, 20), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([*model.parameters(), *classifier.parameters()], lr=3e-3)
    for _ in range(40):
        chosen = torch.randint(len(clips), (16,), generator=draw)
        spoil(frames := clips[chosen].clone())
        features = model(Clips(frames))
        loss = F.cross_entropy(classifier(features.coherence), labels[chosen])
        optimizer.zero_grad()
        sum(model.losses(features, labels[chosen]).values(), loss).backward()
        optimizer.step()
    return model.eval()


def weights(model: torch.nn.Module, clips: torch.Tensor, top: int = 0, bottom: int = 32) -> torch.Tensor:
    """The shares (N, T, ...) of the frames in the coherence where these rows of frame SPOILT are blank."""
    blank = clips.clone()
    blank[:, SPOILT, :, top:bottom] = 0
    with torch.no_grad():
        found = model(Clips(blank)).weights
    return found / found.sum(dim=1, keepdim=True)


def test_erased_frame_falls_below_the_others_of_its_clip(people):
    def spoil(frames: torch.Tensor) -> None:
        frames[:, SPOILT] = 0

    shares = weights(learn("qan-grid", people, spoil), people[0])
    assert (shares.argmin(dim=1) == SPOILT).float().mean() > 0.9
    assert shares[:, SPOILT].mean() < 0.1


def test_region_of_the_legs_falls_more_than_that_of_the_head(people):
    """In training each clip has a frame without its upper region and one without its lower."""

    def spoil(frames: torch.Tensor) -> None:
        frames[:, 0, :, :14] = 0
        frames[:, SPOILT, :, 23:] = 0

    model = learn("rqen", people, spoil)
    fall = (weights(model, people[0], bottom=0) - weights(model, people[0], top=23))[:, SPOILT].mean(dim=0)
    assert fall[2] > fall[0] + 0.1


def test_parts_of_the_lower_half_shift_to_other_frames(people):
    """Where the lower half of a frame is blank, the parts whose attention is there lose weight in it, and the others do not."""

    def spoil(frames: torch.Tensor) -> None:
        frames[:5, SPOILT] = 0
        frames[5:10, SPOILT, :, :16] = 0
        frames[10:, SPOILT, :, 16:] = 0

    clips = people[0]
    model = learn("drsta", people, spoil)
    with torch.no_grad():
        maps = model(Clips(clips)).extras["attention"].exp()[:, SPOILT]  # of 4 x 2 cells
    low = maps[..., 4:].sum(dim=2).mean(dim=0) > 0.5
    fall = (weights(model, clips, bottom=0) - weights(model, clips, top=16))[:, SPOILT].mean(dim=0)
    assert 0 < low.sum() < 6
    assert fall[low].mean() > 0.03
    assert fall[low].mean() > 3 * fall[~low].abs().mean()
