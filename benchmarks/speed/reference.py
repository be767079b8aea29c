"""References for the steps of the harness: the same model or product in the shortest loop, on data already in memory."""

import numpy as np
import torch
from torch import Tensor

from baselines.interface.baseline import Clips
from benchmarks.clips.training_batches import Batch
from benchmarks.engine.model import ReidModel, build_model
from benchmarks.engine.optimizer import make_optimizer
from benchmarks.engine.precision import autocast
from benchmarks.engine.run import prepare
from benchmarks.experiments.settings import Settings

CLASSES = 625  # the training identities of MARS
CPU = torch.device("cpu")


def model_of(method: str, settings: Settings, device: torch.device = CPU) -> ReidModel:
    """A method's model in training mode, with as many classes as MARS; threads and precision are set as for a run."""
    prepare(settings, device)
    return build_model(method, CLASSES, settings, seed=0)[0].train().to(device)


def random_batch(settings: Settings, flow_fields: int = 0) -> Batch:
    """A training batch of random pixels, as workers return it; half of its clips are mirrored or erased."""
    draw = torch.Generator().manual_seed(0)
    clips, steps, height, width = (
        settings.identities * settings.clips,
        settings.clip_frames,
        settings.height,
        settings.width,
    )

    def pixels(*shape: int) -> Tensor:
        return torch.randint(0, 256, (clips, steps, *shape), dtype=torch.uint8, generator=draw)

    region = torch.tensor([height // 8, width // 8, height // 2, width // 2])
    return Batch(
        frames=pixels(height, width, 3).permute(0, 1, 4, 2, 3),
        labels=torch.arange(settings.identities).repeat_interleave(settings.clips),
        flip=torch.arange(clips) % 2 == 0,
        erase=region * (torch.arange(clips) % 2)[:, None],
        crop=torch.full((clips, 2), -1),
        seed=0,
        flow=pixels(flow_fields, 2, height, width) if flow_fields else None,
    )


def train_bare(model: ReidModel, batch: Batch, steps: int) -> None:
    """Some training steps on one batch, from a new optimizer."""
    optimizer, device = make_optimizer(model), next(model.parameters()).device
    for _ in range(steps):
        with autocast(model.settings.precision, device):
            losses = model(**batch._asdict(), mode="loss")
        sum(losses.values()).backward()
        optimizer.step()
        optimizer.zero_grad()


@torch.inference_mode()
def embed_bare(model: ReidModel, clips: Clips) -> None:
    """The baseline's forward pass alone, of normalised clips on its device; of `mean` that is the backbone's."""
    with autocast(model.settings.precision, clips.frames.device):
        model.baseline(clips)


BLOCK = 512  # query rows of a product at a time
NOISE = 2.85  # by which features of 2,048 channels have mAP about 0.8 at MARS's size


def features(draw: np.random.Generator, pids: np.ndarray, centres: np.ndarray, noise: float) -> np.ndarray:
    """A person's rows, of normal numbers times `noise`, around the person's centre; each distractor (pid 0) around its own."""
    around = centres[pids]
    around[pids == 0] = draw.standard_normal((int((pids == 0).sum()), centres.shape[1]), np.float32)
    return around + np.float32(noise) * draw.standard_normal(around.shape, np.float32)


def product(query: np.ndarray, gallery: np.ndarray) -> None:
    """All inner products of the query with the gallery and the query rows, a block at a time."""
    columns = len(gallery) + len(query)
    whole = np.empty((min(BLOCK, len(query)), columns), np.float32)
    for first in range(0, len(query), BLOCK):
        rows = query[first : first + BLOCK]
        np.matmul(rows, gallery.T, out=whole[: len(rows), : len(gallery)])
        np.matmul(rows, query.T, out=whole[: len(rows), len(gallery) :])
