"""The same run has the same bits: done twice, stopped by a signal, or killed in the middle of an iteration."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS
from safetensors.torch import load_file
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, MultiStepLR, StepLR

from benchmarks.engine.model import ReidModel, build_model
from benchmarks.engine.optimizer import PrecisionWrapper, make_optimizer, schedules
from benchmarks.experiments.settings import resolve
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Record
from benchmarks.runs.store import load_records

PER_EPOCH = 3

RUN = (
    "run",
    "--method",
    "mean+afa",
    "--dataset",
    "walkers:tiny",
    "--set",
    "epochs=12",
    "--set",
    "lr_step=3",
    "--checkpoint-minutes",
    "0",
)

# A baseline that ends its process in the fifth training step: by SIGTERM the first time, which goes to all processes, workers
# too, as a scheduler's does; by SIGKILL the second.
MORTAL = '''
import os
import subprocess
import time
from pathlib import Path
from baselines.interface.registry import register
from baselines.mean import Mean
from baselines.interface.baseline import Baseline

@register("mortal")
class Mortal(Mean, Baseline):
    """Mean, until it is killed."""
    steps = 0

    def forward(self, clips):
        self.steps += self.training
        deaths = Path(os.environ["DEATHS"])
        fates = deaths.read_text().split()
        if self.training and self.steps == 5 and fates:
            deaths.write_text(" ".join(fates[1:]))
            # Not by itself: a worker that its own process ends is no failure.
            subprocess.run(["kill", f"-{fates[0]}", "0" if fates[0] == "SIGTERM" else str(os.getpid())])
            time.sleep(0.5)  # for workers to die of it, if they do
        return super().forward(clips)
'''


def weights(place: Path) -> dict[str, torch.Tensor]:
    (folder,) = [folder for folder in place.iterdir() if folder.is_dir()]
    mapped = load_file(RunFolder(folder).weights)
    return {key: tensor.clone() for key, tensor in mapped.items()}  # the file may be written to again


def only_record(place: Path) -> Record:
    (record,) = load_records(place)
    return record


def same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_runs_are_reproducible(bench, tmp_path, monkeypatch):
    places = [tmp_path / name for name in ("one", "two", "three")]
    for place, seed in zip(places, (0, 0, 1), strict=True):
        monkeypatch.setenv("BENCH_RESULTS", str(place))
        assert bench(*RUN, "--seed", seed).status == 0
    one, two, three = (weights(place) for place in places)
    assert same_bits(one, two)
    assert not same_bits(one, three)
    assert only_record(places[0]).metrics == only_record(places[1]).metrics


def test_workers_do_not_change_the_bits(bench, tmp_path, monkeypatch):
    for workers in (0, 2):
        monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / str(workers)))
        assert bench(*RUN, "--set", "epochs=3", "--workers", workers).status == 0
    assert same_bits(weights(tmp_path / "0"), weights(tmp_path / "2"))


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (
            "optimizer=sgd",
            "backbone_lr=0.5",
            "schedule=milestones",
            "milestones=3,9",
            "warmup_epochs=7",
            "gradient_limit=1",
        ),
    ],
    ids=["adam", "sgd"],
)
def test_resumed_run_has_the_same_bits(tmp_path, changes):
    plugin, deaths = tmp_path / "mortal.py", tmp_path / "deaths"
    plugin.write_text(MORTAL)

    def call(place: str, *more: str) -> subprocess.CompletedProcess:
        settings = [word for change in changes for word in ("--set", change)]
        asked = (*RUN, "--method", "mortal+afa", "--plugin", str(plugin), *settings, *more)
        program = [sys.executable, "-m", "benchmarks.cli", *asked]
        there = {**os.environ, "BENCH_RESULTS": str(tmp_path / place), "DEATHS": str(deaths)}
        return subprocess.run(program, env=there, capture_output=True, text=True, start_new_session=True)

    deaths.write_text("")
    assert call("undisturbed").returncode == 0
    deaths.write_text("SIGTERM SIGKILL")
    stopped = call("disturbed", "--workers", "1", "--checkpoint-minutes", "10")
    assert stopped.returncode == 130
    last = "stopped after iteration 5 of 12; the same command resumes from there"
    assert stopped.stderr.splitlines()[-1] == f"bench: {last}"
    assert call("disturbed").returncode == -signal.SIGKILL
    assert load_records(tmp_path / "disturbed") == []
    resumed = call("disturbed")
    assert resumed.returncode == 0
    assert "Loads checkpoint" not in resumed.stdout + resumed.stderr
    assert int(re.search(r"train: (\d+) of", resumed.stderr)[1]) > 1  # it did go on, and not begin anew
    assert same_bits(weights(tmp_path / "undisturbed"), weights(tmp_path / "disturbed"))
    undisturbed, disturbed = only_record(tmp_path / "undisturbed"), only_record(tmp_path / "disturbed")
    assert undisturbed.metrics == disturbed.metrics
    assert undisturbed.phases["train"].items == disturbed.phases["train"].items  # of all its processes
    assert disturbed.phases["train"].seconds > 0
    folder = RunFolder(tmp_path / "disturbed" / disturbed.name)
    assert [json.loads(line)["epoch"] for line in folder.curves.open()] == list(range(1, 13))
    assert not folder.checkpoint.exists()
    assert [line for line in folder.log.read_text().splitlines() if "epoch" not in line] == []


def test_freed_memory_is_reused():
    program = """
import resource
import torch
from benchmarks.engine.run import prepare
from benchmarks.experiments.settings import resolve

prepare(resolve("small", "mean"), torch.device("cpu"))
faults = []
for _ in range(60):  # where one was taken another may not fit, so that the heap grows for a while
    torch.ones(10_000_000)  # 40 MB, freed at once
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[-5])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert int(done.stdout) < 1000, done.stderr  # pages: one such array has 10,000


def test_workers_end_with_the_block():
    """Also where an exception that is kept holds the block: else the process would wait at its end for whom it cannot end."""
    program = """
from torch import arange
from torch.utils.data import TensorDataset
from benchmarks.clips.workers import prefetched
def fail():
    with prefetched(TensorDataset(arange(100)), 2) as items:
        held = items
        raise ValueError(next(items))
try:
    fail()
except ValueError as fault:
    kept = fault
print(kept)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert (ended.stdout, ended.returncode) == ("[tensor(0)]\n", 0), ended.stderr


def test_files_respect_umask(bench, results):
    before = os.umask(0o002)
    try:
        assert bench(*RUN, "--set", "epochs=0").status == 0
    finally:
        os.umask(before)
    (folder,) = [RunFolder(path) for path in results.iterdir()]
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in (folder.weights, folder.record, folder.queries)}
    assert set(modes.values()) == {"0o664"}, modes


def test_learning_rate_schedule(bench, results):
    assert (
        bench(*RUN, "--set", "epochs=5", "--set", "lr_step=2", "--set", "lr_gamma=0.5", "--set", "lr=0.008").status == 0
    )
    (folder,) = results.iterdir()
    rates = [json.loads(line)["lr"] for line in RunFolder(folder).curves.open()]
    assert rates == pytest.approx([0.008, 0.008, 0.004, 0.004, 0.002])


@pytest.mark.parametrize("warmup", [0, 1, 4])
@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [
        ("schedule=step", lambda optimizer: StepLR(optimizer, 2 * PER_EPOCH, 0.3)),
        ("milestones=none", lambda optimizer: MultiStepLR(optimizer, [])),
        ("milestones=5", lambda optimizer: MultiStepLR(optimizer, [5 * PER_EPOCH], 0.3)),
        ("milestones=2,5", lambda optimizer: MultiStepLR(optimizer, [2 * PER_EPOCH, 5 * PER_EPOCH], 0.3)),
        ("schedule=cosine", lambda optimizer: CosineAnnealingLR(optimizer, 6 * PER_EPOCH)),
    ],
)
def test_schedules_are_those_of_torch(schedule, theirs, warmup):
    """The rate of every iteration, of two groups of parameters, with and without a warm-up."""
    kind = [] if schedule.startswith("schedule") else ["schedule=milestones"]
    changes = [schedule, *kind, "epochs=6", "lr_step=2", "lr_gamma=0.3", f"warmup_epochs={warmup}", "warmup_start=0.1"]

    def optimizer():
        return torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.02}, {"params": [torch.zeros(1)]}], lr=0.4)

    ours = optimizer()
    built = [
        PARAM_SCHEDULERS.build({**each, "optimizer": ours})
        for each in schedules(resolve("small", "mean", changes), PER_EPOCH)
    ]
    expected = optimizer()
    reference = [theirs(expected)]
    if warmup:
        reference.append(LinearLR(expected, 0.1, total_iters=warmup * PER_EPOCH))
    for _ in range(6 * PER_EPOCH):
        for mine, other in zip(ours.param_groups, expected.param_groups, strict=True):
            assert mine["lr"] == pytest.approx(other["lr"])
        for each in (ours, expected, *built, *reference):
            each.step()


def with_gradients(*changes: str) -> ReidModel:
    """A model whose every gradient is drawn."""
    model = build_model("flow", 2, resolve("small", "flow", changes), seed=0)[0]
    draw = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=draw)
    return model


def moved(model: ReidModel, steps: int = 1) -> dict[str, torch.Tensor]:
    """The change of each parameter by so many steps with the same gradients."""
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    wrapper = PrecisionWrapper(make_optimizer(model), model.settings)
    for _ in range(steps):
        wrapper.step()
    return {name: weight.detach() - before[name] for name, weight in model.named_parameters()}


def test_sgd_with_momentum():
    model = with_gradients("optimizer=sgd", "lr=0.5", "weight_decay=0", "backbone_lr=0.1")
    for name, change in moved(model, steps=2).items():
        rate = 0.05 if "backbone" in name else 0.5  # of both streams
        gradient = model.get_parameter(name).grad
        torch.testing.assert_close(change, -rate * (1 + 1.9) * gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("optimizer", "decay"), [("adam", 0.0), ("adamw", 0.5)])
def test_adam_and_decoupled_decay(optimizer, decay):
    """The first step of Adam is lr in each value. An L2 decay that the gradient outweighs changes no sign; AdamW's is added."""
    model = with_gradients(f"optimizer={optimizer}", "lr=0.01", f"weight_decay={decay or 1e-6}")
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for name, change in moved(model).items():
        expected = -0.01 * (model.get_parameter(name).grad.sign() + decay * before[name])
        clear = model.get_parameter(name).grad.abs() > 1e-3
        torch.testing.assert_close(change[clear], expected[clear], rtol=1e-2, atol=1e-6)


def test_gradients_are_clipped():
    base = ("optimizer=sgd", "lr=1", "weight_decay=0")
    drawn = {name: weight.grad for name, weight in with_gradients().named_parameters()}
    norm = math.sqrt(sum(gradient.double().square().sum().item() for gradient in drawn.values()))
    for limit in (0.5, 2 * norm, 0):
        changes = moved(with_gradients(*base, f"gradient_limit={limit}"))
        factor = min(1.0, limit / norm) if limit else 1.0
        for name, change in changes.items():
            torch.testing.assert_close(change, -factor * drawn[name], rtol=1e-3, atol=1e-6)
    for name, change in moved(with_gradients(*base, "gradient_limit=0.5", "gradient_limit_by=value")).items():
        torch.testing.assert_close(change, -drawn[name].clamp(-0.5, 0.5), rtol=1e-3, atol=1e-6)


def test_training_learns_the_training_set(bench, results):
    assert bench(*RUN, "--set", "epochs=60", "--set", "lr_step=60").status == 0
    (folder,) = results.iterdir()
    losses = [json.loads(line)["loss_class"] for line in RunFolder(folder).curves.open()]
    assert losses[-1] < 0.5 * losses[0]


def test_infinite_loss_is_reported(bench, results, monkeypatch):
    monkeypatch.setattr(
        ReidModel, "losses", lambda _, features, *__: {"loss_class": features.coherence.sum() * math.nan}
    )
    answer = bench(*RUN)
    assert answer.status == 2
    assert "the loss is not finite at iteration" in answer.err.splitlines()[-1]
    assert not list(results.glob("*/model.safetensors"))


def test_checkpoint_of_other_code_is_ignored(bench, results):
    assert bench(*RUN, "--set", "epochs=1").status == 0
    (folder,) = [RunFolder(path) for path in results.iterdir()]
    straight = weights(results)
    folder.record.unlink()  # as after a crash between the weights and the record
    folder.weights.write_bytes(b"made by other code")
    folder.settings.write_text(json.dumps({**json.loads(folder.settings.read_text()), "code": "0" * 64}))
    assert bench(*RUN, "--set", "epochs=1").status == 0
    assert same_bits(weights(results), straight)


def test_bf16_is_close_to_float32(bench, results, monkeypatch):
    monkeypatch.setattr("benchmarks.engine.run.check_precision", lambda *_: None)  # imitated bf16 is slow, and as near
    for precision in ("bf16", "float32"):
        assert bench(*RUN, "--precision", precision, "--set", "epochs=1").status == 0
    lines = [json.loads(path.read_text().splitlines()[0]) for path in results.glob("*/curves.jsonl")]
    assert len(lines) == 2
    assert lines[0]["loss_triplet"] == pytest.approx(lines[1]["loss_triplet"], rel=0.05)
    assert lines[0] != lines[1]


def test_unsupported_bf16_is_refused(bench, results, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    answer = bench(*RUN, "--precision", "bf16")
    assert answer.status == 2
    assert answer.err.splitlines()[-1] == ("bench: precision=bf16: this machine's cpu cannot; use --precision float32")
    assert bench(*RUN, "--precision", "half").err.splitlines()[-1].endswith("one of float32, bf16, not 'half'")
