"""What a run keeps, and what it says, when it is killed, its files are damaged, or nothing can be written."""

import errno
import multiprocessing
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import TensorDataset

from baselines.interface.errors import UserError
from benchmarks.clips.workers import prefetched
from benchmarks.engine.training import SeededLoop
from benchmarks.runs.checksums import checksum_file
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records, read_record

RUN = ("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "1")


class Killed(BaseException):
    """As if the process ended here."""


def killed(*_, **__):
    raise Killed


def only_folder(results) -> RunFolder:
    (path,) = results.iterdir()
    return RunFolder(path)


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("trained") / "runs"


@pytest.fixture
def trained(bench, results, monkeypatch, template) -> RunFolder:
    """A run that was killed as its training had ended."""
    if not template.exists():
        with monkeypatch.context() as patch:
            patch.setattr("benchmarks.engine.run.score", killed)
            assert bench(*RUN).status == 1
        shutil.copytree(results, template)
    shutil.copytree(template, results, dirs_exist_ok=True)
    folder = only_folder(results)
    assert folder.checkpoint.exists()
    assert not folder.record.exists()
    return folder


def test_run_killed_after_its_training_keeps_weights_and_costs(bench, trained, monkeypatch):
    weights = {name: tensor.clone() for name, tensor in load_file(trained.weights).items()}
    spent = torch.load(trained.checkpoint, weights_only=True)["spent"]
    trained.weights.unlink()
    (trained.path / ".model.safetensors.4711").touch()  # half-written
    (trained.path / f".checkpoint.pth.{'0' * 16}.half").mkdir()
    monkeypatch.setattr("benchmarks.engine.model.ReidModel.train_step", killed)  # nothing is trained again
    assert bench(*RUN).status == 0
    record = read_record(trained)
    assert record.phases["train"].items == spent[0] > 0
    assert record.phases["train"].seconds >= spent[1] > 0
    assert record.peak_memory["resident"] >= spent[2]["resident"] > 0
    again = load_file(trained.weights)
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    assert {path.name for path in trained.path.iterdir()} == {
        *(".lock", "experiment.json", "log.txt", "curves.jsonl", "queries.parquet", "record.json"),
        *("model.safetensors", "model.safetensors.sha256", "queries.parquet.sha256"),
    }


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_damaged_checkpoint_is_refused(bench, trained):
    whole = trained.checkpoint.read_bytes()

    def assert_refused(harm):
        trained.checkpoint.write_bytes(whole)
        harm(trained.checkpoint)
        answer = bench(*RUN)
        assert answer.status == 2
        last = answer.err.splitlines()[-1]
        assert last.startswith(f"bench: {trained.checkpoint}: damaged")
        assert last.endswith("`bench run ... --fresh` makes it again")
        assert trained.failure.exists()  # so that a job is "failed", and not "stopped" for ever

    assert_refused(flip)
    assert_refused(lambda file: os.truncate(file, 0))
    checksum_file(trained.checkpoint).unlink()
    assert_refused(lambda file: os.truncate(file, 0))
    assert_refused(lambda file: os.truncate(file, 1000))


def test_fresh_repairs(bench, trained):
    flip(trained.checkpoint)
    trained.settings.write_bytes(b"")
    answer = bench(*RUN)
    assert answer.status == 2
    assert f"{trained.settings}: not the experiment of a run" in answer.err.splitlines()[-1]
    assert bench(*RUN, "--fresh").status == 0


def test_damaged_weights_are_refused(bench, results):
    assert bench(*RUN).status == 0
    folder = only_folder(results)
    flip(folder.weights)
    refused = bench("eval", folder.path.name, "--dataset", "walkers@2:tiny")
    assert refused.status == 2
    assert refused.err.splitlines()[-1].startswith(f"bench: {folder.weights}: damaged (its checksum")
    other = bench(*RUN, "--set", "test_frames=1")  # would take these weights
    assert other.status == 0
    assert f"bench: left out: {folder.weights}: damaged" in other.err
    assert all("train" in record.phases for record in load_records(results))


def test_full_disk_is_reported_and_the_run_goes_on(bench, results, monkeypatch):
    """One file after the other cannot be written; each time there is space again, and the same command continues."""
    flush = os.fsync

    def full(name, number):
        if name in Path(f"/proc/self/fd/{number}").readlink().name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return flush(number)

    def assert_reported(name):
        answer = bench(*RUN)
        assert answer.status == 2
        last = answer.err.splitlines()[-1]
        assert name in last
        assert "No space left on device" in last
        assert "; free some space, or" in last
        assert "Traceback" not in answer.err
        assert not list(results.glob("*/.*.*"))  # half-written

    with monkeypatch.context() as patch, open("/dev/full", "a") as device:
        patch.setattr("benchmarks.engine.training.open", lambda *_: device, raising=False)
        assert_reported("curves.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "log", Path("/dev/full"))
        assert_reported("/dev/full")
    for name in ("checkpoint.pth", "model.safetensors", "record.json"):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", partial(full, name))
            assert_reported(name)
    assert bench(*RUN).status == 0
    assert read_record(only_folder(results)).phases["train"].items > 0


def test_killed_worker_is_replaced(capsys):
    with prefetched(TensorDataset(torch.arange(50)), 2) as items:
        read = [int(next(items)[0]) for _ in range(5)]
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        read += [int(item[0]) for item in items]
    assert read == list(range(50))
    assert "a process that reads frames was killed" in capsys.readouterr().err
    assert multiprocessing.active_children() == []


class Faulty(TensorDataset):
    """Its third item cannot be read."""

    def __getitem__(self, index):
        if index == 2:
            raise UserError("gone.jpg: not found")
        return super().__getitem__(index)


def test_error_of_a_worker_is_passed_on():
    with prefetched(Faulty(torch.arange(9)), 1) as items, pytest.raises(UserError, match=r"gone\.jpg: not found"):
        list(items)


def test_end_of_a_file_is_no_request_to_stop(bench, monkeypatch):
    def read(_):
        raise EOFError("Ran out of input")

    monkeypatch.setattr(SeededLoop, "run", read)
    answer = bench(*RUN)
    assert answer.status == 1
    assert "EOFError: Ran out of input" in answer.err.splitlines()[-1]
