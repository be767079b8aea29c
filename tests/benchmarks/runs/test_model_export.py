"""An exported model gives the features of its run without any of this code, or is refused with the reason."""

import re
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from baselines.interface import UserError
from benchmarks.atomic import naming
from benchmarks.clips.decode import decode_frames
from benchmarks.data.loading import load
from benchmarks.engine.model import build_model
from benchmarks.experiments.settings import resolve
from benchmarks.reporting.model_card import card
from benchmarks.runs import model_export
from benchmarks.runs.model_export import ClipFeatures, export_checked, refuse_other_files
from benchmarks.runs.record import Metrics
from benchmarks.runs.store import load_records

TINY = ("--dataset", "walkers:tiny", "--epochs", "0", "--workers", "0")


def load_torchscript(file):
    loaded = torch.jit.load(file)
    return lambda frames: [each.numpy() for each in loaded(torch.from_numpy(frames))]


def load_onnx(file):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda frames: session.run(None, {"frames": frames})


LOADERS = {".pt": load_torchscript, ".onnx": load_onnx}


def test_the_file_gives_the_features_of_the_run(bench, results, tmp_path):
    """Against `bench features`. With test_chunk=100 each tracklet is one clip, so that nothing is left to merge."""
    assert bench("run", "--method", "qan+afa", *TINY, "--set", "test_chunk=100").status == 0
    assert bench("features", "walkers_tiny", "--to", tmp_path, "--workers", 0).status == 0
    (features,) = tmp_path.glob("*-query.npz")
    expected, data = np.load(features), load("walkers:tiny")
    (record,) = load_records(results)
    size = (record.experiment.settings["height"], record.experiment.settings["width"])
    tracklets = data.table[data.table.subset == "query"].set_index("tracklet").frames
    for suffix, load_file in LOADERS.items():
        file = tmp_path / f"model{suffix}"
        answer = bench("export", "walkers_tiny", "--to", file, "--workers", 0)
        assert answer.status == 0, answer.err
        assert re.search(r"differ from the run's by at most \d\.\de-\d\d of the largest value", answer.out)
        call = load_file(str(file))
        for name, feature in list(zip(expected["tracklet"], expected["feature"], strict=True))[::7]:
            clip = decode_frames(data.store, tracklets[name], *size).transpose(0, 3, 1, 2)[None]
            for frames in (clip, clip.astype(np.float32)) if suffix == ".pt" else (clip,):
                found, weight = call(np.ascontiguousarray(frames))
                np.testing.assert_allclose(found[0], feature, rtol=1e-3, atol=1e-4 * np.abs(feature).max())
                assert weight.shape == (1,)


def test_card_tells_what_the_record_says(bench, results, tmp_path, monkeypatch):
    for seed in (0, 1):
        assert bench("run", "--method", "mean", *TINY, "--seed", seed).status == 0
    assert bench("export", "seed1", "--to", tmp_path / "mean.pt", "--root", "/nowhere").status == 2  # a drawn data set
    name = next(record.name for record in load_records(results) if record.experiment.seed == 1)
    assert bench("export", name, "--to", tmp_path / "mean.pt").status == 0
    (record,) = [record for record in load_records(results) if record.name == name]
    text = (tmp_path / "mean.pt.md").read_text()
    for said in (
        record.name,
        record.code,
        "trained on walkers:tiny, split 0",
        "| `lambda` | 0.0 |",
        f"| {record.metrics[0].protocol} | before | {100 * record.metrics[0].mAP:.1f} |",
        "Over the seeds 0, 1: mAP",
        "Its people are drawn",
        "changed from the recipe: epochs=0",
        "Not for finding, following or identifying people",
        "16 test tracklets",
    ):
        assert said in text, said
    assert bench("export", name, "--to", tmp_path / "mean.pt").status == 0  # replaces the earlier export
    (tmp_path / "other.pt").write_text("weights")
    answer = bench("export", name, "--to", tmp_path / "other.pt")
    assert (answer.status, "other.pt was not written by `bench export`" in answer.err) == (2, True)
    assert (tmp_path / "other.pt").read_text() == "weights"
    (tmp_path / "other.pt").unlink()
    monkeypatch.setattr(
        ClipFeatures,
        "forward",
        lambda self, frames: (self.baseline.embed(frames.float()).mean(1), frames[:, 0, 0, 0, 0]),
    )
    answer = bench("export", name, "--to", tmp_path / "other.pt")  # a file that differs is not published
    assert answer.status == 2
    assert re.search(r"features of the file differ by \S+ of the largest value, more than 1e-04", answer.err)
    assert not list(tmp_path.glob("*other*"))


def test_card_does_not_guess_what_an_unknown_recipe_says(make_record):
    record = make_record(height=32, width=16, clip_frames=7, test_chunk=64)
    record = replace(record, experiment=replace(record.experiment, recipe="mine"))
    assert "changed from the recipe: unknown" in card(record, "mean.pt", "TorchScript", (0.0, 1, 1e-4), [record])


@pytest.mark.parametrize(
    ("method", "change", "reason"),
    [
        ("flow", "flow=dis", "it reads optical flow"),
        ("gltr", "flip=0", "it cuts tracklets in a way of its own (whole)"),
        ("max", "flip=0", "it merges the chunks of a tracklet by a rule of its own"),
        ("rqen", "flip=0", "it has 3 weights for each frame, one for each block"),
        ("mean", "matcher=nearest-frames", "it compares tracklets by a matcher"),
        ("mean", "metric=xqda", "metric=xqda is fitted on training tracklets, and the file does not hold it"),
        ("mean", "shuffle=both", "shuffle=both makes it a control"),
        ("mean", "test_clips=filled", "test_clips=filled makes clips of one length"),
    ],
)
def test_models_that_one_file_cannot_hold_are_refused(tmp_path, method, change, reason):
    settings = resolve("small", method, [change])
    model = build_model(method, 2, settings, 0)[0]
    with pytest.raises(UserError, match=f"cannot be exported: {re.escape(reason)}"):
        export_checked(model, settings, None, None, 0, tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


def test_a_model_that_a_trace_fixes_to_one_length_is_refused(tmp_path):
    settings, data = resolve("small", "astpn", []), load("walkers:tiny")
    model = build_model("astpn", 2, settings, 0)[0]
    model.baseline.test_clips = "even"  # so that only the trace is in the way
    queries = data.table[data.table.subset == "query"]
    with pytest.raises(UserError, match=r"^AttentivePooling cannot be exported: as a file it is fixed to"):
        export_checked(model, settings, queries, data.store, 0, tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


class Vanishing:
    """Frames that can be read once."""

    def __init__(self, store):
        self.store, self.done = store, set()

    def read(self, name):
        if name in self.done:
            raise UserError(f"{name}: gone")
        self.done.add(name)
        return self.store.read(name)


def test_errors_of_the_file_are_told_apart(tmp_path, monkeypatch):
    settings, data = resolve("small", "mean", ["clip_frames=3", "test_chunk=8"]), load("walkers:tiny")
    model = build_model("mean", 2, settings, 0)[0]
    queries, to = data.table[data.table.subset == "query"], tmp_path / "model.pt"

    def error_of_export(lengths, store=data.store):
        def call(clips):
            if clips.shape[1] not in lengths:
                raise RuntimeError("The sizes must match")
            return torch.zeros(len(clips), 3), torch.ones(len(clips))

        monkeypatch.setitem(model_export._WRITERS, ".pt", lambda *_: call)
        with pytest.raises(UserError) as found:
            export_checked(model, settings, queries, store, 0, to)
        assert not list(tmp_path.iterdir())
        return str(found.value)

    refused = "Mean cannot be exported: "
    assert error_of_export({3}) == f"{refused}as a file it is fixed to 3 frames a clip (The sizes must match)"
    assert error_of_export(()) == f"{refused}TorchScript cannot hold it: The sizes must match"
    assert error_of_export(range(9), Vanishing(data.store)).endswith(".jpg: gone")  # no fault of the file


@pytest.mark.parametrize("suffix", LOADERS)
def test_full_disk_is_no_fault_of_the_model(tmp_path, monkeypatch, suffix):
    settings, data = resolve("small", "mean", ["clip_frames=3", "test_chunk=8"]), load("walkers:tiny")
    model = build_model("mean", 2, settings, 0)[0]

    @contextmanager
    def full(file):
        with naming(file):
            yield Path("/dev/full")

    monkeypatch.setattr(model_export, "atomic_file", full)
    with pytest.raises(OSError, match="No space left on device; free some space") as error:
        export_checked(model, settings, data.table[:8], data.store, 0, tmp_path / f"model{suffix}")
    assert error.value.filename == str(tmp_path / f"model{suffix}")


def test_other_files_are_not_replaced(tmp_path):
    to = tmp_path / "README.pt"
    refuse_other_files(to)
    (tmp_path / "README.md").write_text("# mine\n")
    refuse_other_files(to)  # its card has another name
    (tmp_path / "README.pt.md").write_text("# mine\n")
    message = r"--to .*README\.pt: .*/README\.pt\.md was not written by `bench export`; choose another name, or move"
    with pytest.raises(UserError, match=message):
        refuse_other_files(to)
    (tmp_path / "README.pt.md").unlink()
    to.write_text("weights")
    with pytest.raises(UserError, match=r"/README\.pt was not written by `bench export`"):
        refuse_other_files(to)


def test_card_of_runs_in_which_no_query_has_a_match(make_record):
    nothing = [Metrics("official", "before", None, None, None, None, None, 0, 10)]
    size = {"height": 32, "width": 16, "clip_frames": 7, "test_chunk": 64}
    records = [make_record(seed=seed, metrics=nothing, **size) for seed in (0, 1)]
    text = card(records[0], "mean.pt", "TorchScript", (0.0, 1, 1e-4), records)
    assert "Over the seeds 0, 1: no mAP, because no query has a match." in text


def test_formats(bench, tmp_path, monkeypatch):
    answer = bench("export", "RUN", "--to", tmp_path / "model.bin")
    assert (answer.status, answer.err.splitlines()[-1].partition(": ")[2]) == (
        2,
        f"--to {tmp_path}/model.bin: the name must end in .pt (TorchScript) or .onnx (ONNX)",
    )
    assert "is not a folder; make it first" in bench("export", "RUN", "--to", tmp_path / "no" / "model.pt").err
    monkeypatch.setattr(model_export, "find_spec", lambda name: None if name == "onnxscript" else sys)
    answer = bench("export", "RUN", "--to", tmp_path / "model.onnx")
    assert answer.status == 2
    assert "ONNX needs onnxscript; `pip install afa-bench[onnx]`, or use .pt" in answer.err
