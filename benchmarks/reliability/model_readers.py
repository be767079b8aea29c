"""The readers of weights, features and distances."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file

from baselines.backbones.weights import load_state
from benchmarks.evaluation.distances import rows_of
from benchmarks.runs.checksums import check_file, checked_file
from benchmarks.runs.external_features import read_distances, read_features

from .reader import Reader, draw


def _state() -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(draw().random(shape)) for name, shape in (("layer.weight", (8, 4)), ("layer.bias", 8))
    }


def _texts(state: dict[str, torch.Tensor]) -> str:
    return " ".join(f"{name} {tuple(value.shape)} {value.tolist()}" for name, value in sorted(state.items()))


def _make_checkpoint(folder: Path) -> Path:
    with checked_file(folder / "checkpoint.pth") as half:
        torch.save({"state_dict": _state(), "meta": {"iter": 3}}, half)
    return folder / "checkpoint.pth"


def _read_checkpoint(file: Path) -> str:
    check_file(file)
    loaded = torch.load(file, weights_only=True)
    return f"{loaded['meta']} {_texts(loaded['state_dict'])}"


def _make_weights(folder: Path) -> Path:
    with checked_file(folder / "model.safetensors") as half:
        save_file(_state(), half)
    return folder / "model.safetensors"


def _read_weights(file: Path) -> str:
    check_file(file)
    return _texts(load_file(file))


def _make_state_dict(folder: Path) -> Path:
    torch.save(_state(), folder / "initial.pth")
    return folder / "initial.pth"


def _make_safetensors(folder: Path) -> Path:
    save_file(_state(), folder / "initial.safetensors")
    return folder / "initial.safetensors"


def _read_state(file: Path) -> str:
    return _texts(load_state(file)[0])


def _always(_: Path, __: Any) -> bool:
    """Any tensors may be initial weights; the digest of the file is part of the run's identity."""
    return True


def _features() -> dict[str, Any]:
    return {
        "feature": draw().random((6, 4)),
        "pid": np.arange(6),
        "camid": np.arange(6) % 2,
        "tracklet": list("abcdef"),
    }


def _make_npz(folder: Path) -> Path:
    np.savez(folder / "features.npz", **_features())
    return folder / "features.npz"


def _make_parquet(folder: Path) -> Path:
    pd.DataFrame({**_features(), "feature": list(_features()["feature"])}).to_parquet(folder / "features.parquet")
    return folder / "features.parquet"


def _read_features(file: Path) -> str:
    feature, table = read_features(file)
    return f"{feature.tolist()} {table.to_json()}"


def _checksums_hold(file: Path, _: Any) -> bool:
    """A zip file's own checksums."""
    with zipfile.ZipFile(file) as archive:
        return archive.testzip() is None


def _same_columns(file: Path, result: str) -> bool:
    """Features of other code have no checksum; the digest of the file is part of the record."""
    columns = pq.read_table(file, columns=["feature", "pid", "camid", "tracklet"]).to_pydict()
    feature = np.stack(columns.pop("feature")).astype(np.float32)
    return result == f"{feature.tolist()} {pd.DataFrame(columns).to_json()}"


def _make_distances(folder: Path) -> Path:
    labels = {key: value for key, value in _features().items() if key != "feature"}
    sides = {f"{side}_{key}": value for side in ("query", "gallery") for key, value in labels.items()}
    np.savez(folder / "distances.npz", distances=draw().random((6, 6)), **sides)
    return folder / "distances.npz"


def _read_distances(file: Path) -> str:
    result = read_distances(file)
    rows = [row.tolist() for row in rows_of(result.distances, np.arange(result.distances.shape[1]))]
    return f"{rows} {result.queries.to_json()} {result.gallery.to_json()}"


MODEL_READERS = (
    Reader("checkpoint", _make_checkpoint, _read_checkpoint, "checkpoint.pth"),
    Reader("final weights", _make_weights, _read_weights, "model.safetensors"),
    Reader("initial weights (state dict)", _make_state_dict, _read_state, "initial.pth", _always),
    Reader("initial weights (safetensors)", _make_safetensors, _read_state, "initial.safetensors", _always),
    Reader("features (npz)", _make_npz, _read_features, "features.npz", _checksums_hold),
    Reader("features (parquet)", _make_parquet, _read_features, "features.parquet", _same_columns),
    Reader("distances (npz)", _make_distances, _read_distances, "distances.npz", _checksums_hold),
)
