"""What a run leaves behind."""

import torch
from safetensors.torch import load_file, load_model

from baselines.interface.errors import UserError
from benchmarks.engine import distributed
from benchmarks.engine import run as run_module
from benchmarks.engine.model import build_model
from benchmarks.engine.run import write_weights
from benchmarks.experiments.settings import resolve


def model(method, seed=0):
    return build_model(method, 5, resolve("small", method), seed)[0]


def assert_read_again(method, trained, file):
    write_weights(trained, file)
    other = model(method, seed=1)
    load_model(other, file)
    expected = trained.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in other.state_dict().items())


def test_shared_memory_weights_round_trip(tmp_path):
    trained = model("lstm")
    weights = list(trained.baseline.recurrent.parameters())
    block = torch.cat([weight.detach().flatten() for weight in weights])
    for weight, part in zip(weights, block.split([weight.numel() for weight in weights]), strict=True):
        weight.data = part.view_as(weight)
    assert len({weight.untyped_storage().data_ptr() for weight in weights}) == 1
    assert_read_again("lstm", trained, tmp_path / "model.safetensors")


def test_channels_last_weights_load(tmp_path):
    trained = model("mean").to(memory_format=torch.channels_last)
    assert_read_again("mean", trained, tmp_path / "model.safetensors")


def test_an_error_of_any_write_reaches_all_processes(bench, results, monkeypatch):
    """Only what `from_leader` calls raises its errors in the other processes too; they would wait for the first one."""
    written, inside = [], []

    def from_leader(make):
        inside.append(make)
        try:
            return make()
        finally:
            inside.pop()

    def watched(name, write):
        def call(*arguments):
            assert inside, name
            written.append(name)
            return write(*arguments)

        return call

    monkeypatch.setattr(distributed, "from_leader", from_leader)
    for name in ("write_weights", "write_metrics", "write_record", "start_run", "remove_checked", "checked_file"):
        monkeypatch.setattr(run_module, name, watched(name, getattr(run_module, name)))
    words = ("--method", "mean", "--dataset", "walkers:tiny", "--epochs", 0, "--set", "metric=xqda", "--workers", 0)
    assert bench("run", *words, "--test", "walkers@2:tiny").status == 0
    of_run = [
        "start_run",
        "checked_file",
        "write_weights",
        "checked_file",
        "write_metrics",
        "write_record",
        "remove_checked",
    ]
    assert written == [*of_run, "start_run", "write_record"]
    assert len(list(results.iterdir())) == 2


def test_no_epoch_is_picked_by_the_test_set(bench, results, monkeypatch):
    """The test set is read once, when the last epoch's weights are written."""
    seen = []

    def score(model, *_):
        (folder,) = results.iterdir()
        seen.append(len((folder / "curves.jsonl").read_text().splitlines()))
        written = load_file(folder / "model.safetensors")
        assert all(torch.equal(value, written[name]) for name, value in model.state_dict().items())
        raise UserError("tested")

    monkeypatch.setattr("benchmarks.engine.run.score", score)
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", 2, "--workers", 0)
    assert answer.err.splitlines()[-1] == "bench: tested"
    assert seen == [2]
