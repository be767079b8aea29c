"""What a run leaves behind."""

import torch
from safetensors.torch import load_model

from benchmarks.model import build_model
from benchmarks.run import write_weights
from benchmarks.settings import resolve


def test_weights_that_lie_in_one_block_as_on_a_gpu_are_written_and_read_again(tmp_path):
    settings = resolve("small", "lstm", [])
    trained, other = (build_model("lstm", 5, settings, seed)[0] for seed in (0, 1))
    weights = list(trained.baseline.recurrent.parameters())
    block = torch.cat([weight.detach().flatten() for weight in weights])
    for weight, part in zip(weights, block.split([weight.numel() for weight in weights]), strict=True):
        weight.data = part.view_as(weight)
    assert len({weight.untyped_storage().data_ptr() for weight in weights}) == 1
    write_weights(trained, tmp_path / "model.safetensors")
    load_model(other, tmp_path / "model.safetensors")
    expected = trained.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in other.state_dict().items())


def test_weights_in_the_layout_of_tensor_cores_are_read_into_either(tmp_path):
    settings = resolve("small", "mean", [])
    trained, other = (build_model("mean", 5, settings, seed)[0] for seed in (0, 1))
    trained.to(memory_format=torch.channels_last)
    write_weights(trained, tmp_path / "model.safetensors")
    load_model(other, tmp_path / "model.safetensors")
    expected = trained.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in other.state_dict().items())
