"""What a run leaves behind."""

import torch
from safetensors.torch import load_file, load_model

from baselines.interface.errors import UserError
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
