"""The readers of files that a fault or a stranger may have changed, each with a valid file and a second opinion."""

import csv
import io
import json
import re
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from baselines.backbones.weights import load_state
from benchmarks.clips.decode import decode_frames
from benchmarks.data.frame_stores import FolderStore, PackedStore, write_pack
from benchmarks.data.image_lists import read_listing
from benchmarks.data.import_video import read_identities, read_tracks
from benchmarks.data.matlab import read_matlab
from benchmarks.data.packed_folder import pack_digest, write_packed
from benchmarks.data.table import make_table, read_table
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.settings import RECIPES, resolve
from benchmarks.runs.checksums import check_file, checked_file
from benchmarks.runs.exchange import export_runs, exported_runs
from benchmarks.runs.external_features import read_features
from benchmarks.runs.finished import FinishedRun
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.metrics import QUERY_COLUMNS
from benchmarks.runs.record import FORMAT, Cost, Environment, Metrics, Phase, Record, parse_record, record_to_json
from benchmarks.runs.store import write_record
from benchmarks.runs.unfinished import start_run, started_experiments, starting_code

SECONDS = 20.0  # for one input; after that a reader counts as stuck


class Reader(NamedTuple):
    """A reader of files.

    Attributes:
        name: of the kind of file.
        make: writes a valid file into a folder; its path.
        read: what the reader makes of a file, as text or bytes that can be compared.
        place: what a refusal must name: the file, or the option.
        accept: whether a changed file may be read with another result: a second opinion on file and result. Where a file has a
            checksum, or is our own, no other result is right.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    place: str
    accept: Callable[[Path, Any], bool] = lambda _, __: False


def _draw() -> np.random.Generator:
    return np.random.default_rng(0)


def _make_frame(folder: Path) -> Path:
    smooth = np.kron(_draw().integers(0, 255, (8, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.fromarray(smooth).save(folder / "frame.jpg", quality=90)
    return folder / "frame.jpg"


def _read_frame(file: Path) -> bytes:
    return decode_frames(FolderStore(file.parent), [file.name], 64, 32).tobytes()


def _pillow_opens(file: Path, _: Any) -> bool:
    """JPEG has no checksum: whether another decoder finds an image too."""
    with Image.open(file) as image:
        return image.size[0] > 0


def _make_matlab(folder: Path) -> Path:
    from scipy.io import savemat

    savemat(folder / "tracks.mat", {"track_train_info": _draw().integers(1, 99, (20, 4))}, do_compression=True)
    return folder / "tracks.mat"


def _read_matlab(file: Path) -> str:
    return str(read_matlab(file, "track_train_info").tolist())


def _make_tracks(folder: Path) -> Path:
    rows = (f"{frame},{track},{10 * track},5.5,20,40,1,-1,-1,-1" for track in range(1, 5) for frame in range(1, 6))
    return _text(folder / "tracks.txt", "\n".join(rows) + "\n")


def _read_tracks(file: Path) -> str:
    return str(read_tracks(file).to_csv(index=False))


def _same_tracks(file: Path, result: str) -> bool:
    """Plain decimal numbers, as many in each row; the seventh, if there is one, is not 0, and later ones are not used."""
    rows = [line.split(",") for line in file.read_text().split("\n") if line.strip()]
    plain = all(re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", word) for row in rows for word in row[:7])
    kept = [[float(word) for word in row[:6]] for row in rows if len(row) < 7 or float(row[6]) != 0] if plain else []
    even = len({len(row) for row in rows}) == 1
    return even and np.array_equal(pd.read_csv(io.StringIO(result)).to_numpy(float), np.array(kept))


def _make_identities(folder: Path) -> Path:
    return _text(folder / "identities.csv", "track_id,identity\n" + "".join(f"{i},{i // 2}\n" for i in range(20)))


def _read_identities(file: Path) -> str:
    return json.dumps(read_identities(file))


def _same_identities(file: Path, result: str) -> bool:
    with open(file, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {str(int(row["track_id"])): int(row["identity"]) for row in rows} == json.loads(result)


def _make_listing(folder: Path) -> Path:
    lines = (f"a/{i}.jpg,{i // 4},{i % 2},t{i // 2}" for i in range(16))
    return _text(folder / "list.csv", "frame,pid,camid,tracklet\n" + "\n".join(lines) + "\n")


def _read_listing(file: Path) -> str:
    return str(read_listing(file.parent, file).to_json())


def _same_listing(file: Path, result: str) -> bool:
    with open(file, newline="", encoding="utf-8") as stream:
        frames = [str(Path(row["frame"])) for row in csv.DictReader(stream)]
    return frames == list(pd.read_json(io.StringIO(result), dtype=False).frame)


def _make_pack(folder: Path) -> Path:
    write_pack(folder / "frames.arrow", ((f"a/{i}.jpg", bytes([i] * 50)) for i in range(20)))
    return folder / "frames.arrow"


def _read_pack(file: Path) -> bytes:
    store = PackedStore(file)
    return b"".join(store.read(f"a/{i}.jpg") for i in range(20))


def _make_table(folder: Path) -> Path:
    rows = [("train", i // 2, i % 2, f"t{i}", [f"a/{i}-{frame}.jpg" for frame in range(3)]) for i in range(12)]
    write_packed(folder, make_table(rows), ((frame, b"1") for row in rows for frame in row[-1]))
    return folder / "table.parquet"


def _read_table(file: Path) -> str:
    pack_digest(file.parent)  # as each command does
    table = read_table(file)
    return str(table.assign(frames=[list(frames) for frames in table.frames]).to_json())


def _state() -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(_draw().random(shape)) for name, shape in (("layer.weight", (8, 4)), ("layer.bias", 8))
    }


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


def _texts(state: dict[str, torch.Tensor]) -> str:
    return " ".join(f"{name} {tuple(value.shape)} {value.tolist()}" for name, value in sorted(state.items()))


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
        "feature": _draw().random((6, 4)),
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


EXPERIMENT = Experiment(
    "mean", "walkers", "walkers", {"epochs": 40, "lr": 0.001}, 0, 0, "d" * 64, "d" * 64, "none", "small"
)


def _record() -> Record:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Record(
        format=FORMAT,
        name=EXPERIMENT.name,
        experiment=EXPERIMENT,
        code="c" * 64,
        metrics=[Metrics("official", "before", 0.5, 0.5, 1.0, 1.0, 1.0, 10, 0)],
        cost=Cost(1000, 2e8),
        phases={"train": Phase(60.0, 6000, 100.0)},
        peak_memory={"resident": 2**30},
        environment=Environment(2, "a processor", None, None, {"torch": "2.14.1"}, 1, "3.11.7", "Linux"),
        started=now,
        finished=now,
    )


def _queries() -> pd.DataFrame:
    values = {"protocol": "official", "feature": "before", "pid": range(10), "camid": 0, "average_precision": 0.5}
    frame = pd.DataFrame({**values, "query": [f"t{i}" for i in range(10)], "first_hit_rank": 2.0})
    return frame[[*QUERY_COLUMNS]] if set(QUERY_COLUMNS) <= set(frame) else frame


def _finished(folder: Path) -> RunFolder:
    run = RunFolder(folder / EXPERIMENT.name)
    run.path.mkdir(exist_ok=True)
    start_run(run, EXPERIMENT, "c" * 64)
    write_record(run, _record(), _queries())
    run.curves.write_text("".join(json.dumps({"epoch": i, "iteration": i, "loss": 1 / i}) + "\n" for i in range(1, 6)))
    return run


def _make_record(folder: Path) -> Path:
    return _finished(folder).record


def _make_started(folder: Path) -> Path:
    return _finished(folder).settings


def _make_curves(folder: Path) -> Path:
    return _finished(folder).curves


def _make_queries(folder: Path) -> Path:
    return _finished(folder).queries


def _read_record(file: Path) -> str:
    return record_to_json(parse_record(file.read_bytes(), file))


def _same_json(file: Path, result: str) -> bool:
    return _holds(json.loads(result), json.loads(file.read_bytes()))


def _holds(found: Any, written: Any) -> bool:
    """Whether a result has all that was written. It may have defaults besides."""
    if isinstance(found, dict) and isinstance(written, dict):
        return all(key in found and _holds(found[key], value) for key, value in written.items())
    if isinstance(found, float) and isinstance(written, int):
        return found == float(written)  # 10^24 has no float64 of its own
    return bool(found == written)


def _make_export(folder: Path) -> Path:
    export_runs([(_finished(folder), _record())], folder / "runs.parquet")
    return folder / "runs.parquet"


def _read_export(file: Path) -> str:
    return " ".join(f"{record_to_json(record)} {rows.to_json()}" for record, rows in exported_runs(file))


def _read_started(file: Path) -> str:
    code = starting_code(RunFolder(file.parent))
    found = [asdict(experiment) for _, experiment in started_experiments(file.parents[1])]
    return json.dumps([code, found])


def _same_started(file: Path, result: str) -> bool:
    values = json.loads(file.read_bytes())
    code, found = json.loads(result)
    same = all(each.get(key, value) == value for each in found for key, value in values.items() if key != "code")
    return code == str(values["code"]) and same


def _read_curves(file: Path) -> str:
    return FinishedRun(_record(), RunFolder(file.parent)).curves().to_json(orient="records", double_precision=15)


def _same_curves(file: Path, result: str) -> bool:
    rows = [json.loads(line) for line in file.read_text(errors="replace").splitlines()]
    return len(rows) == len(json.loads(result))


def _read_queries(file: Path) -> str:
    return str(FinishedRun(_record(), RunFolder(file.parent)).all_queries().to_json())


def _make_recipe(folder: Path) -> Path:
    return _text(folder / "mine.toml", (RECIPES / "small.toml").read_text())


def _read_recipe(file: Path) -> str:
    return json.dumps(resolve(str(file), "mean").as_dict())


def _same_recipe(file: Path, result: str) -> bool:
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    found = json.loads(result)
    return all(found.get(key) == value for key, value in values.items() if key in found)


def _make_option(folder: Path) -> Path:
    return _text(folder / "option.txt", "lr=0.001")


def _read_option(file: Path) -> str:
    text = file.read_text(errors="replace")
    settings = resolve("small", "mean", [text]).recorded()
    return json.dumps(settings[text.partition("=")[0].strip()])


def _same_option(file: Path, result: str) -> bool:
    written = file.read_text(errors="replace").partition("=")[2]
    value = json.loads(result)
    return written == value or tomllib.loads(f"value = {written}")["value"] == value


def _text(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


READERS = (
    Reader("frame (JPEG)", _make_frame, _read_frame, "frame.jpg", _pillow_opens),
    Reader("MATLAB file", _make_matlab, _read_matlab, "tracks.mat"),
    Reader("MOT tracks", _make_tracks, _read_tracks, "tracks.txt", _same_tracks),
    Reader("identities (CSV)", _make_identities, _read_identities, "identities.csv", _same_identities),
    Reader("list of images (CSV)", _make_listing, _read_listing, "list.csv", _same_listing),
    Reader("pack of frames", _make_pack, _read_pack, "frames.arrow"),
    Reader("table of tracklets", _make_table, _read_table, "table.parquet"),
    Reader("checkpoint", _make_checkpoint, _read_checkpoint, "checkpoint.pth"),
    Reader("final weights", _make_weights, _read_weights, "model.safetensors"),
    Reader("initial weights (state dict)", _make_state_dict, _read_state, "initial.pth", _always),
    Reader("initial weights (safetensors)", _make_safetensors, _read_state, "initial.safetensors", _always),
    Reader("features (npz)", _make_npz, _read_features, "features.npz", _checksums_hold),
    Reader("features (parquet)", _make_parquet, _read_features, "features.parquet", _same_columns),
    Reader("record", _make_record, _read_record, "record.json", _same_json),
    Reader("exported runs", _make_export, _read_export, "runs.parquet"),
    Reader("experiment of a run", _make_started, _read_started, "experiment.json", _same_started),
    Reader("curves", _make_curves, _read_curves, "curves.jsonl", _same_curves),
    Reader("results of queries", _make_queries, _read_queries, "queries.parquet"),
    Reader("recipe (TOML)", _make_recipe, _read_recipe, "mine.toml", _same_recipe),
    Reader("option --set", _make_option, _read_option, "--set", _same_option),
)
