"""TensorBoard and Weights & Biases themselves: each reads back, without a network, what a training wrote."""

import json
import struct
import sys

import pytest

from baselines.interface.errors import UserError
from benchmarks.engine.trackers import make_visualizer
from benchmarks.experiments.settings import resolve
from benchmarks.paths import as_environment
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records

RUN = ("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", 2, "--set", "holdout=0.5")


@pytest.fixture
def _offline(tmp_path, monkeypatch):
    """Weights & Biases writes nothing outside the test's folder, and its service process ends with the test."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    for folder in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{folder}_DIR", str(tmp_path / "wandb"))
    yield
    wandb.teardown()


def read_tensorboard(folder):
    """{name: [(step, value)]}."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.Tags()["scalars"]}


def read_wandb(file):
    """The records of a .wandb file: LevelDB's log format, in which a record is divided where a block of 32 KiB ends."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, record = file.read_bytes(), 7, b""  # after a header of 7 bytes
    while position < len(content):
        if (left := 2**15 - position % 2**15) < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(record)
            record = b""


@pytest.mark.usefixtures("_offline")
def test_curves_go_to_both_trackers_offline(bench, results, monkeypatch):
    monkeypatch.setenv("BENCH_TRACKERS", "tensorboard, wandb")
    assert as_environment()["BENCH_TRACKERS"] == "tensorboard,wandb"  # jobs have it too
    answer = bench(*RUN, "--set", "validate_every=1")
    assert answer.status == 0, answer.err
    (record,) = load_records(results)
    folder = RunFolder(results / record.name)
    lines = [json.loads(line) for line in folder.curves.read_text().splitlines()]
    assert len(lines) == 2
    assert {"loss", "validation_mAP"} <= set(lines[0])

    board = read_tensorboard(folder.path / "tensorboard")
    assert set(board) == set(lines[0])
    for name, points in board.items():
        assert [step for step, _ in points] == [line["iteration"] for line in lines]
        assert [value for _, value in points] == pytest.approx([line[name] for line in lines], rel=1e-6)

    (file,) = folder.path.glob("wandb/offline-run-*/*.wandb")
    records = list(read_wandb(file))
    (run,) = (each.run for each in records if each.HasField("run"))
    config = {each.key: json.loads(each.value_json) for each in run.config.update}
    assert (run.project, run.run_id, run.display_name) == ("afa-bench", record.name, record.name)
    assert (config["epochs"], config["holdout"]) == (2, 0.5)
    logged = [
        {each.key or each.nested_key[0]: json.loads(each.value_json) for each in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    assert [{name: values[name] for name in lines[0]} for values in logged] == lines
    assert any(each.HasField("exit") for each in records)  # closed, not cut off


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandb", "BENCH_TRACKERS: .*wandb.*; pip install wandb"),
        ("tensorbord", "BENCH_TRACKERS: no tracker 'tensorbord'; did you mean 'tensorboard'?"),
    ],
)
def test_absent_trackers(tmp_path, monkeypatch, name, message):
    monkeypatch.setitem(sys.modules, "wandb", None)  # its import fails, as if it were absent
    monkeypatch.setenv("BENCH_TRACKERS", name)
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        make_visualizer(tmp_path, resolve("small", "mean"))


def test_a_missing_login_is_said_before_the_training(tmp_path, monkeypatch):
    import wandb

    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("BENCH_TRACKERS", "wandb")
    with pytest.raises(UserError, match=r"BENCH_TRACKERS: wandb: .*`wandb login`.*; fix it, or unset BENCH_TRACKERS"):
        make_visualizer(tmp_path, resolve("small", "mean"))
    wandb.teardown()


def test_without_the_variable_nothing_is_tracked(tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_TRACKERS", raising=False)
    assert make_visualizer(tmp_path, resolve("small", "mean")) is None
