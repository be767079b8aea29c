"""A finished run's model as one file that needs none of this code: TorchScript (.pt) or ONNX (.onnx).

The file takes frames of the size of the run and normalises them itself. It gives the feature of each clip and its weight; the
feature of a tracklet is the mean of those of its chunks by weight. Models of which that is not true are refused.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.interface.baseline import Baseline, Clips
from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_file
from benchmarks.clips.tracklet_chunks import TrackletChunks
from benchmarks.data.frame_stores import Store
from benchmarks.engine.extraction import extract
from benchmarks.engine.model import ReidModel
from benchmarks.evaluation.metrics import FITTED_METRICS
from benchmarks.experiments.settings import NO_MATCHER, Settings

FORMATS = {".pt": "TorchScript", ".onnx": "ONNX"}
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TRACKLETS = 16  # of the test set that are compared
# The largest difference to the harness's features, as a share of their largest value. The file computes in float32.
TOLERANCE = {"float32": 1e-4, "bf16": 5e-2}

Call = Callable[[Tensor], tuple[Tensor, Tensor]]  # clips (B, T, 3, H, W) uint8 to features (B, D) and weights (B,)


class ClipFeatures(nn.Module):
    """Clips (B, T, 3, H, W), RGB from 0 to 255, uint8 or float, to features (B, D) and weights (B,)."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, model: ReidModel) -> None:
        super().__init__()
        self.baseline = model.baseline
        for name in ("pixel_mean", "pixel_std"):
            self.register_buffer(name, getattr(model, name).clone())

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        features = self.baseline(Clips((frames.float() / 255 - self.pixel_mean) / self.pixel_std))
        weights = torch.ones_like(features.frames[:, :, 0]) if features.weights is None else features.weights
        return features.coherence, weights.sum(dim=1)


def check_format(to: Path) -> str:
    """The format that a file's suffix names.

    Raises:
        UserError: another suffix, a folder that does not exist, or packages that are not installed.
    """
    if to.suffix not in FORMATS:
        endings = " or ".join(f"{suffix} ({name})" for suffix, name in FORMATS.items())
        raise UserError(f"--to {to}: the name must end in {endings}")
    if not to.absolute().parent.is_dir():
        raise UserError(f"--to {to}: {to.absolute().parent} is not a folder; make it first")
    absent = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if to.suffix == ".onnx" and absent:
        raise UserError(f"--to {to}: ONNX needs {', '.join(absent)}; `pip install afa-bench[onnx]`, or use .pt")
    return FORMATS[to.suffix]


def card_file(to: Path) -> Path:
    """Where the model card of an exported file is written."""
    return to.with_name(f"{to.name}.md")


def refuse_other_files(to: Path) -> None:
    """Refuse to replace anything except an earlier export: its card begins with the name of the model file.

    Raises:
        UserError: the model file or the card would replace something else.
    """
    written = card_file(to)
    if written.is_file() and written.read_text(errors="replace").splitlines()[:1] == [f"# {to.name}"]:
        return
    for file in (to, written):
        if file.exists():
            raise UserError(
                f"--to {to}: {file} was not written by `bench export`; choose another name, or move that file"
            )


def export_checked(
    model: ReidModel, settings: Settings, tracklets: pd.DataFrame, store: Store, seed: int, to: Path
) -> tuple[float, int]:
    """Write the model to `to`, if the file's features of test tracklets are the harness's.

    Args:
        tracklets: of the test set; some are compared, from the shortest to the longest.
        seed: of the run.

    Returns:
        The largest difference, as a share of the largest value of the features, and the number of tracklets compared.

    Raises:
        UserError: a model that one file cannot hold, with the reason; or features that differ by more than TOLERANCE.
    """
    check_format(to)
    _refuse(model, settings)
    example = torch.zeros(2, settings.clip_frames, 3, settings.height, settings.width, dtype=torch.uint8)
    with torch.no_grad():
        weights = model.eval()(example).weights
    if weights is not None and weights.dim() == 3:
        raise _refused(model, f"it has {weights.shape[2]} weights for each frame, one for each block of the feature")
    by_length = tracklets.iloc[np.argsort(tracklets.frames.map(len).to_numpy(), kind="stable")]
    spread = np.unique(np.linspace(0, len(by_length) - 1, TRACKLETS).round().astype(int))
    some = by_length.iloc[spread].reset_index(drop=True)
    expected = extract(model, some, store, settings, seed=seed).before
    module = ClipFeatures(model).cpu().eval().requires_grad_(False)
    with atomic_file(to) as half:
        try:
            call = _WRITERS[to.suffix](module, example, half)
            call(example)
        except OSError:  # such as that of a full disk: no fault of the model
            raise
        except Exception as error:  # the exporters raise many kinds
            raise _refused(model, f"{FORMATS[to.suffix]} cannot hold it: {_first_line(error)}") from error
        found = _features(_any_length(call, model, settings), some, store, settings, seed)
        difference = float(np.abs(found - expected).max() / np.abs(expected).max())
        if not difference <= TOLERANCE[settings.precision]:
            raise _refused(
                model,
                f"the features of the file differ by {difference:.1e} of the largest value, more than "
                f"{TOLERANCE[settings.precision]:.0e}",
            )
    return difference, len(some)


def _refuse(model: ReidModel, settings: Settings) -> None:
    """Refuse models whose features of tracklets are not means of clips' features by one weight a clip."""
    baseline = model.baseline
    if baseline.flow_fields:
        raise _refused(model, "it reads optical flow, but the file takes only frames")
    if baseline.test_clips != "even":
        raise _refused(model, f"it cuts tracklets in a way of its own ({baseline.test_clips}), not into even chunks")
    if settings.test_clips != "own":
        raise _refused(
            model, f"test_clips={settings.test_clips} makes clips of one length of each tracklet that count alike"
        )
    if type(baseline).merge is not Baseline.merge:
        raise _refused(model, "it merges the chunks of a tracklet by a rule of its own, not by weight")
    if settings.matcher not in NO_MATCHER or (settings.matcher == "own" and baseline.matcher is not None):
        raise _refused(model, "it compares tracklets by a matcher, not by one feature of each")
    if settings.metric in FITTED_METRICS:
        raise _refused(
            model, f"metric={settings.metric} is fitted on training tracklets, and the file does not hold it"
        )
    if settings.shuffle in ("test", "both"):
        raise _refused(model, f"shuffle={settings.shuffle} makes it a control, which is tested on shuffled frames")


def _refused(model: ReidModel, reason: str) -> UserError:
    return UserError(f"{type(model.baseline).__name__} cannot be exported: {reason}")


def _any_length(call: Call, model: ReidModel, settings: Settings) -> Call:
    """`call`, which has taken a clip of the length of the training; an error in another is therefore one of the length."""

    def checked(clips: Tensor) -> tuple[Tensor, Tensor]:
        try:
            return call(clips)
        except Exception as error:  # torch and onnxruntime raise many kinds
            raise _refused(
                model, f"as a file it is fixed to {settings.clip_frames} frames a clip ({_first_line(error)})"
            ) from error

    return checked


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return (lines[-1] if lines[0].startswith("The following operation failed") else lines[0])[:160]


def _features(
    call: Call, tracklets: pd.DataFrame, store: Store, settings: Settings, seed: int
) -> NDArray[np.floating[Any]]:
    """(N, D): the features of tracklets by the exported model, the chunks merged by weight. One clip also passes alone."""
    chunks = TrackletChunks(tracklets, store, settings, seed)
    sums: list[NDArray[np.floating[Any]]] = [np.zeros(())] * len(tracklets)
    totals = np.zeros(len(tracklets))
    for number in range(len(chunks)):
        frames, batch, _ = chunks[number]
        for part, own in ((frames[:1], batch[:1]), (frames[1:], batch[1:])):
            if not own:
                continue
            features, weights = (each.double().numpy() for each in call(part.contiguous()))
            for chunk, feature, weight in zip(own, features, weights, strict=True):
                sums[chunk.row] = sums[chunk.row] + weight * feature
                totals[chunk.row] += weight
    return np.stack(sums) / totals[:, None]


@contextmanager
def _sizes_round() -> Iterator[None]:
    """While torch traces, sizes are tensors, which Python's `round` refuses. Those of the image are constants of the file."""
    torch.Tensor.__round__ = lambda size, digits=None: round(size.item(), digits)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del torch.Tensor.__round__  # type: ignore[attr-defined]


def _write_torchscript(module: nn.Module, example: Tensor, file: Path) -> Call:
    with torch.no_grad(), warnings.catch_warnings(action="ignore"), _sizes_round():
        content = io.BytesIO()  # given a file on a full disk, torch ends the process
        torch.jit.save(torch.jit.trace(module, (example,), check_trace=False), content)
        file.write_bytes(content.getvalue())
        loaded = torch.jit.load(str(file))

    def call(frames: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            feature, weight = loaded(frames)
        return feature, weight

    return call


def _write_onnx(module: nn.Module, example: Tensor, file: Path) -> Call:
    import onnxruntime

    shapes = {"frames": {0: torch.export.Dim("clips"), 1: torch.export.Dim("frames_a_clip")}}
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            module,
            (example,),
            str(file),
            input_names=["frames"],
            output_names=["feature", "weight"],
            dynamic_shapes=shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])

    def call(frames: Tensor) -> tuple[Tensor, Tensor]:
        feature, weight = session.run(None, {"frames": frames.numpy()})
        return torch.from_numpy(feature), torch.from_numpy(weight)

    return call


_WRITERS: dict[str, Callable[[nn.Module, Tensor, Path], Call]] = {".pt": _write_torchscript, ".onnx": _write_onnx}
