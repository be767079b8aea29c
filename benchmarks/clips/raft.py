"""RAFT (Teed and Deng, 2020), torchvision's network for optical flow, small or large, with weights from a file."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import get_worker_info

from baselines.backbones.weights import NONE, file_digest, load_state
from baselines.interface.errors import UserError
from benchmarks.experiments.settings import Settings

MIN_SIDE, STRIDE = 128, 8  # pixels: the smallest side that RAFT takes, and what sides must be a multiple of
PAIRS = 16  # pairs of frames in a batch
WANTED = (
    "a file with the weights of torchvision's raft_small or raft_large, such as raft_large_C_T_SKHT_V2-ff5fadd5.pth"
)


def weights_file(weights: str) -> Path:
    """The file that the setting `flow_weights` names: a path, or the name of a file in torchvision's cache.

    Raises:
        UserError: neither exists.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights).name
    if weights == NONE:
        raise UserError(f"flow_weights: flow=raft needs {WANTED}; --set flow_weights=FILE")
    file = next((file for file in (Path(weights), cached) if file.is_file()), None)
    if file is None:
        raise UserError(f"flow_weights: {weights}: no such file, and none in {cached.parent}; get {WANTED}")
    return file


def flow_digest(settings: Settings) -> str:
    """sha256 of RAFT's weights; "none" if the flow is not RAFT's."""
    return file_digest(weights_file(settings.flow_weights)) if settings.flow == "raft" else NONE


def raft_flow(frames: NDArray[np.uint8], weights: str) -> NDArray[np.float32]:
    """The flow from each frame to the next, in pixels: (T, H, W, 3) RGB to (T - 1, H, W, 2).

    Frames that are too small for RAFT are enlarged, and their flow is scaled back.
    """
    # A worker process is forked and cannot use the GPU.
    device = "cuda" if torch.cuda.is_available() and get_worker_info() is None else "cpu"
    model = _model(weights_file(weights), device)
    height, width = frames.shape[1:3]
    scale = max(1.0, MIN_SIDE / height, MIN_SIDE / width)
    size = [-(-round(side * scale) // STRIDE) * STRIDE for side in (height, width)]
    flow = np.empty((len(frames) - 1, height, width, 2), np.float32)
    for start in range(0, len(flow), PAIRS):
        images = torch.from_numpy(frames[start : start + PAIRS + 1]).to(device).permute(0, 3, 1, 2)
        images = F.interpolate(images.float() / 127.5 - 1, size, mode="bilinear")
        with torch.inference_mode():
            pixels = model(images[:-1], images[1:])[-1]  # the last of RAFT's iterative refinements
        pixels = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
        shrink = torch.tensor([width / size[1], height / size[0]], device=device)
        flow[start : start + PAIRS] = (pixels.permute(0, 2, 3, 1) * shrink).cpu().numpy()
    return flow


@cache
def _model(file: Path, device: str) -> torch.nn.Module:
    from torchvision.models import optical_flow

    state: dict[str, Tensor] = load_state(file)[0]
    for build in (optical_flow.raft_small, optical_flow.raft_large):
        with torch.device("meta"):  # takes no time, and no numbers from torch's random generator
            model = build(weights=None)
        if {key: value.shape for key, value in model.state_dict().items()} == {k: v.shape for k, v in state.items()}:
            model.load_state_dict(state, assign=True)
            return model.to(device).eval()
    raise UserError(f"flow_weights: {file} is neither raft_small nor raft_large; get {WANTED}")
