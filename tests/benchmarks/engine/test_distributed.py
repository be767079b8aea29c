"""Several processes train as one does: the same draws, loss, gradients and parameters, whatever share each of them has.

Run as a program, this file is what those processes do; the tests compare what two of them saved with what one saved. They
count in float64, where 20 steps of Adam leave rounding small; in float32 Adam's first steps, the signs of gradients, turn
rounding of gradients near 0 into steps of the size of the learning rate.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines import BASELINES
from baselines.interface.errors import UserError
from baselines.interface.plugins import add_plugin
from benchmarks import launch
from benchmarks.clips.sampling import share
from benchmarks.clips.training_batches import TrainingBatches
from benchmarks.data.loading import load
from benchmarks.engine import distributed
from benchmarks.engine.extraction import extract
from benchmarks.engine.model import build_model
from benchmarks.engine.optimizer import PrecisionWrapper
from benchmarks.engine.recognition import attributes_for
from benchmarks.engine.run import Machine, flow_for, without_bad_frames
from benchmarks.experiments.settings import resolve
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import read_record
from benchmarks.suites import published_systems

METHODS = ("mean+afa", "qan+afa", "cnn3d", "lstm", "stripes+afa", "case+afa", "astpn")
SYSTEMS = tuple(  # every other published system, for two steps
    f"{name}+afa"
    for name in sorted({system.baseline for system in published_systems.ALL} | {"tam", "tks"})
    if not {name, f"{name}+afa"} & {*METHODS}
)
PLUGIN = Path(__file__).parents[2] / "plugins" / "stripes.py"  # block weights, extras and a loss of its own
CHANGES = ("clip_frames=3", "identities=3", "clips=3", "threads=1", "erase=0.5")
STEPS = dict.fromkeys(METHODS, 20) | dict.fromkeys(SYSTEMS, 2)
SHAPES = ((7, 5), (7, 5, 6), (7, 5, 4, 3), (7, 5, 2, 4, 3))  # seven clips: no two processes have as many


def torchrun() -> list[str]:
    """Two processes that meet at a port which is free now; torchrun's own choice, port 0, never lets them meet."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = listener.getsockname()[1]
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]


def batches_of(changes: tuple[str, ...] = (), rank: int = 0, world: int = 1, method: str = "mean") -> TrainingBatches:
    data = load("walkers:tiny")
    training = data.table[data.table.subset == "train"]
    settings = resolve("small", method, [*CHANGES, *changes])
    flow = flow_for(method, data, settings, Machine(0, 10.0, lambda *_, **__: None))
    return TrainingBatches(training, data.store, settings, 0, flow, rank, world)


def train(method: str, steps: int, *changes: str) -> dict[str, object]:
    """Terms of the loss of each step, the gradient of the first, the parameters and statistics after the last."""
    batches = batches_of(changes, distributed.rank(), distributed.world(), method)
    settings = batches.settings
    data = load("walkers:tiny")
    known = attributes_for(method, data, batches.pids)
    values = torch.from_numpy(known.training) if known else None
    model = build_model(method, len(batches.pids), settings, 0, values)[0].train()
    if settings.statistics_shares > 1 and distributed.world() == 1:
        in_shares(model.baseline, settings.statistics_shares)
    model.double()
    distributed.see_whole_batches(model.baseline, settings.statistics_shares)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    gradients: list[dict[str, Tensor]] = []
    optimizer.register_step_pre_hook(
        lambda *_: gradients.append(
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        )
    )
    wrapper = PrecisionWrapper(optimizer, settings)
    single, torch.Tensor.float = torch.Tensor.float, torch.Tensor.double  # type: ignore[assignment]
    terms = [{key: value.item() for key, value in model.train_step(batches[i], wrapper).items()} for i in range(steps)]
    torch.Tensor.float = single  # type: ignore[method-assign]
    state = {key: value.clone() for key, value in model.state_dict().items() if settings.statistics_shares == 1}
    queries = data.table[data.table.subset == "query"]
    features = extract(model.to(torch.float32), queries, data.store, settings, flow=batches.flow)
    return {"terms": terms, "gradient": gradients[0], "state": state, "features": torch.from_numpy(features.before)}


def in_shares(baseline: nn.Module, shares: int) -> None:
    """Have one process look at each share of its clips by itself."""
    forward = baseline.forward

    def by_share(clips):
        count = len(clips.frames)
        parts = [forward(clips._replace(frames=clips.frames[share(count, i, shares)])) for i in range(shares)]
        return type(parts[0])(
            *(torch.cat([getattr(part, name) for part in parts]) for name in ("frames", "coherence")), None
        )

    baseline.forward = by_share


def normalise(shape: tuple[int, ...]) -> dict[str, Tensor]:
    """One training step of a batch normalisation over inputs of all processes: everything that comes out of it."""
    inputs, pull = (
        10 * torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 3
    ).unbind()
    mine = share(len(inputs), distributed.rank(), distributed.world())
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]
    layer = nn.Sequential(kind(shape[1], eps=1e-3, momentum=0.2)).double()
    nn.init.uniform_(layer[0].weight, 1, 2, generator=torch.Generator().manual_seed(2))
    distributed.see_whole_batches(layer, 1)
    own = inputs[mine].clone().requires_grad_()
    outputs = layer(own)
    (outputs * pull[mine]).sum().backward()
    rows = {"outputs": outputs.detach(), "gradient": own.grad}
    whole = {}
    for key, value in rows.items():
        whole[key] = distributed.total(torch.zeros_like(inputs).index_copy_(0, torch.arange(7)[mine], value))
    sums = {key: distributed.total(parameter.grad) for key, parameter in layer.named_parameters()}
    kept = {key: buffer.double() for key, buffer in layer.named_buffers()}
    evaluated = {"evaluated": layer.eval()(inputs).detach()}
    return whole | sums | kept | evaluated


class OddError(Exception):
    """An error that pickle writes and cannot read."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def errors() -> list[BaseException]:
    """What may be raised in the first process."""
    full = OSError(28, "No space left on device", "/full/record.json")
    return [UserError("refused"), full, ValueError("odd"), OddError("two", "words"), KeyboardInterrupt(), SystemExit(3)]


def talk() -> dict[str, object]:
    """What the processes say to each other."""
    raised = []
    for error in errors():

        def fail(error: BaseException = error) -> None:
            if distributed.world() > 1 and not distributed.leads():
                raise AssertionError("called in another process than the first")
            raise error

        for ask in (lambda fail=fail: distributed.from_leader(fail), distributed.leader_first()(fail)):
            try:
                ask()
            except BaseException as found:
                raised.append(f"{type(found).__name__} {found}")
    return {
        "raised": raised,
        "value": distributed.from_leader(lambda: distributed.rank()),
        "one": distributed.anywhere(distributed.rank() == distributed.world() - 1),
        "none": distributed.anywhere(False),
        "all": distributed.from_all(f"item {distributed.rank()}"),
    }


class BadStore:
    """Frames of which the first cannot be decoded. It counts how many are read."""

    def __init__(self, frames: list[str]) -> None:
        self.bad, self.reads = frames[0], 0
        self.image = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()

    def read(self, name: str) -> bytes:
        self.reads += 1
        return b"no image" if name == self.bad else self.image


def skip_bad() -> dict[str, object]:
    """What a process makes of data with a bad frame, and how many frames it reads for that."""
    data = load("walkers:tiny")
    store = BadStore([frame for frames in data.table.frames for frame in frames])
    kept = without_bad_frames(replace(data, store=store, digest="bad"), lambda *_: None)
    frames = sum(map(len, kept.table.frames))
    return {"digest": kept.digest, "left out": list(kept.left_out), "frames": frames, "reads": store.reads}


def main(place: Path) -> None:
    torch.set_num_threads(1)
    add_plugin(PLUGIN, [BASELINES])
    with launch.process_group():
        made = {method: train(method, steps) for method, steps in STEPS.items()}
        made["per frame"] = train("mean+afa", 1, "granularity=frame", "sigma=0.5")
        made["in shares"] = train("mean+afa", 3, "statistics_shares=2")
        made["layers"] = {shape: normalise(shape) for shape in SHAPES}
        made["talk"] = talk()
        made["skip bad"] = skip_bad()
        torch.save(made, place / f"{distributed.rank()}.pt")


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> list[dict]:
    """What one process saved, and what each of two did."""
    batches_of(method="cnn-rnn")  # people are drawn and flow is computed once, here
    places = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    programs = ([sys.executable], torchrun())
    house = Path(__file__).parents[3]
    there = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(house)}
    calls = [
        subprocess.Popen([*program, __file__, str(place)], env=there, cwd=house, stderr=subprocess.PIPE, text=True)
        for program, place in zip(programs, places, strict=True)
    ]
    errors = [call.communicate(timeout=300)[1] for call in calls]
    assert [call.returncode for call in calls] == [0, 0], errors
    files = (places[0] / "0.pt", places[1] / "0.pt", places[1] / "1.pt")
    return [torch.load(file, weights_only=True) for file in files]


@pytest.mark.parametrize("method", STEPS)
def test_two_processes_match_one(saved, method):
    one, two, other = (each[method] for each in saved)
    # Sums in another order: a few times 1e-16 of the largest part, in the loss and in each gradient.
    assert two["terms"][0] == pytest.approx(one["terms"][0], rel=1e-12)
    for name, gradient in one["gradient"].items():
        torch.testing.assert_close(
            two["gradient"][name], gradient, rtol=1e-9, atol=1e-12 * float(gradient.abs().max() + 1)
        )
    # Adam divides by the size of a gradient, with 1e-8 added: what is 1e-17 for a gradient is up to 1e-9 of a step of 1e-3, and
    # grows from step to step, by most where a network divides by the deviation of its own features, as `lstm` does: 2e-9 was
    # seen there at the end. A share left out, or a draw of its own, shows in the third digit.
    bound = 1e-8 if method == "lstm" else 1e-9
    assert len(two["terms"]) == STEPS[method]
    assert two["terms"][-1] == pytest.approx(one["terms"][-1], rel=bound)
    torch.testing.assert_close(two["state"], one["state"], rtol=bound, atol=bound)
    torch.testing.assert_close(two["state"], other["state"], rtol=0, atol=0)  # and the two have not come apart
    torch.testing.assert_close(two["features"], one["features"], rtol=1e-5, atol=1e-6)  # float32 features


def test_frame_noise_matches_one_process(saved):
    one, two, _ = (each["per frame"] for each in saved)
    assert two["terms"][0] == pytest.approx(one["terms"][0], rel=1e-12)


def test_statistics_shares(saved):
    one, two, _ = saved
    assert two["in shares"]["terms"] == [pytest.approx(terms, rel=1e-9) for terms in one["in shares"]["terms"]]
    whole = one["mean+afa"]["terms"][0]
    assert one["in shares"]["terms"][0]["loss"] != pytest.approx(whole["loss"], rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_of_uneven_shares(saved, shape):
    one, two, _ = (each["layers"][shape] for each in saved)  # one: torch's own layer on all rows
    assert set(one) >= {"outputs", "gradient", "0.weight", "0.bias", "0.running_mean", "0.running_var", "evaluated"}
    torch.testing.assert_close(two, one, rtol=1e-11, atol=1e-11)


def test_leader_result_reaches_all(saved):
    for each in saved[1:]:
        raised = each["talk"].pop("raised")
        assert each["talk"] == {"value": 0, "one": True, "none": False, "all": ["item 0", "item 1"]}
        assert len(raised) == 2 * len(errors())
        told = [f"{type(error).__name__} {error}" for error in errors() for _ in range(2)]
        if each is saved[2]:
            told = ["UserError OddError: two words" if line.startswith("OddError ") else line for line in told]
        assert raised == told


def test_first_process_looks_for_bad_frames(saved):
    one, two, other = (each["skip bad"] for each in saved)
    assert (len(one["left out"]), one["reads"]) == (1, one["frames"] + 1)
    assert two == one
    assert other == {**one, "reads": 0}


@pytest.mark.parametrize("world", [2, 3, 4])
def test_shares_form_the_batch(world):
    whole, parts = batches_of(), [batches_of((), rank, world) for rank in range(world)]
    sizes = set()
    for i in range(3):
        batch, shares = whole[i], []
        for part in parts:
            asked: list[str] = []
            store = part.store

            class Counting:
                def read(self, name, store=store, asked=asked):
                    asked.append(name)
                    return store.read(name)

            part.store = Counting()
            shares.append(part[i])
            part.store = store
            assert len(asked) == shares[-1].frames.shape[:2].numel()
        sizes |= {len(each.frames) for each in shares}
        for field in ("frames", "flip", "erase"):
            assert torch.equal(torch.cat([getattr(each, field) for each in shares]), getattr(batch, field))
        assert all(torch.equal(each.labels, batch.labels) and each.seed == batch.seed for each in shares)
    assert len(sizes) > 1  # some were uneven


# A baseline whose second process gets SIGTERM in the fifth training step, twice.
MORTAL = '''
import os
import signal
from baselines.interface.registry import register
from baselines.mean import Mean
from baselines.interface.baseline import Baseline

@register("mortal")
class Mortal(Mean, Baseline):
    """Mean, until it is stopped."""
    steps = 0

    def forward(self, clips):
        self.steps += self.training
        if self.steps == 5 and os.environ.get("RANK") == "1":
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        return super().forward(clips)
'''


def test_signal_stops_all_processes(tmp_path):
    (tmp_path / "mortal.py").write_text(MORTAL)
    words = ["run", "--method", "mortal+afa", "--plugin", str(tmp_path / "mortal.py"), "--dataset", "walkers:tiny"]
    words += [word for change in (*CHANGES, "epochs=3") for word in ("--set", change)]
    there = {**os.environ, "OMP_NUM_THREADS": "1", "BENCH_RESULTS": str(tmp_path / "runs")}

    def call(*program: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*program, "-m", "benchmarks.cli", *words],
            env=there,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=300,
        )

    there["PYTHONPATH"] = str(Path(__file__).parents[3])
    stopped = call(*torchrun())
    assert stopped.returncode != 0
    assert stopped.stderr.count("stopped after iteration 5 of 9; the same command resumes from there") == 1
    assert -signal.SIGTERM not in (stopped.returncode,)
    (folder,) = [RunFolder(path) for path in (tmp_path / "runs").iterdir()]
    state = torch.load(folder.checkpoint, weights_only=True)
    assert state["meta"]["iter"] == 5
    ended = call(sys.executable)
    assert ended.returncode == 0, ended.stderr
    assert "-> [" not in ended.stderr
    record = read_record(folder)
    assert record is not None
    assert record.environment.processes == 1
    assert [json.loads(line)["iteration"] for line in folder.curves.open()] == [3, 6, 9]
    again = call(*torchrun())  # the same experiment for two processes: it is there
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("finished before; nothing to run") == 1
    assert again.stdout.count("mortal+afa ") == 1
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_first_failure_is_recorded(tmp_path):
    (tmp_path / "mine.py").write_text("""
from baselines.interface.baseline import Baseline
from baselines.interface.errors import UserError
from baselines.mean import Mean
from baselines.interface.registry import register
from benchmarks.engine import distributed

@register("lame")
class Lame(Mean, Baseline):
    def forward(self, clips):
        if self.training and distributed.rank() == 1:
            raise UserError("lame: process 1 is out of memory")
        return super().forward(clips)
""")
    words = (
        "-m",
        "benchmarks.cli",
        "run",
        "--method",
        "lame",
        "--dataset",
        "walkers:tiny",
        "--plugin",
        str(tmp_path / "mine.py"),
    )
    there = {**os.environ, "OMP_NUM_THREADS": "1", "BENCH_RESULTS": str(tmp_path / "runs")}
    answer = subprocess.run([*torchrun(), *words, "--set", "epochs=1"], env=there, capture_output=True, timeout=300)
    assert answer.returncode != 0
    (failure,) = tmp_path.glob("runs/*/failure.txt")
    assert failure.read_text() == "lame: process 1 is out of memory"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
