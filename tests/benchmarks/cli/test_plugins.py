"""Plug-in files with baselines and data sets, and the error messages for their faults."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.runs.record import record_to_json

PLUGIN = '''
from afa import disentangle
from baselines.interface.baseline import Baseline
from baselines.interface.registry import register
from benchmarks.data.dataset import Dataset
from benchmarks.data.table import make_table

@register("last-frame")
class LastFrame(Baseline):
    """The last frame alone."""

    def forward(self, clips):
        return disentangle(self.embed(clips.frames[:, -1:]).expand(-1, clips.frames.shape[1], -1))

@register("two-people")
class TwoPeople(Dataset):
    """Two people."""

    protocols = ("standard",)
    overlapping = True
    folder = "two"
    layout = "images"
    source = "nowhere"

    def read(self, root, split):
        frames = sorted(file.name for file in root.glob("*.png"))
        rows = [("train", p, c, f"{p}{c}", frames[2 * p : 2 * p + 2]) for p in (0, 1) for c in (0, 1)]
        return make_table(rows + [("query", 0, 0, "q", frames[:2]), ("gallery", 0, 1, "g", frames[:2])])
'''


def test_plugin_adds_a_baseline_and_a_data_set(bench, tmp_path, monkeypatch):
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((16, 8, 3), 60 * i, np.uint8))
    words = ("run", "--plugin", "mine.py", "--method", "last-frame+afa", "--dataset", "two-people", "--epochs", 1)
    monkeypatch.chdir(tmp_path)
    answer = bench(*words, "--root", tmp_path)
    assert answer.status == 0, answer.err
    assert "stale" not in bench("table", "--plugin", "mine.py").out
    assert "last-frame+afa" in answer.out
    assert "The last frame alone." in bench("list", "--plugin", plugin).out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('rows + [("query"', 'rows + [("gallery"'), "data set two-people: no query tracklets"),
        (('("standard",)', '("standrad",)'), "no protocol 'standrad'; did you mean 'standard'"),
    ],
)
def test_data_set_that_cannot_be_evaluated(bench, tmp_path, monkeypatch, results, change, message):
    (tmp_path / "mine.py").write_text(PLUGIN.replace(*change))
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((16, 8, 3), 60 * i, np.uint8))
    monkeypatch.chdir(tmp_path)
    answer = bench(*("run", "--plugin", "mine.py", "--method", "mean", "--dataset", "two-people", "--root", tmp_path))
    assert answer.status == 2
    assert message in answer.err.splitlines()[-1]
    there = ("--plugin", "mine.py", "--method", "mean", "--dataset", "walkers:tiny", "--test", "two-people")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    (tmp_path / "two").symlink_to(tmp_path)
    answer = bench("run", *there)
    assert message in answer.err.splitlines()[-1]
    assert not list(results.glob("*/model.safetensors"))


FAULTY = """
{imports}
from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline
from baselines.interface.registry import register

@register("faulty")
class Faulty(Baseline):
    {body}
"""
FORWARD = "def forward(self, clips):\n        "


@pytest.mark.parametrize(
    ("imports", "body", "message"),
    [
        ("import no_such_module", FORWARD + "...", ", line 2: ModuleNotFoundError: No module named"),
        ("", "def __init__(self, backbone):\n        {}['key']\n    " + FORWARD + "...", ", line 10: KeyError: 'key'"),
        ("", "def __init__(self):\n        pass\n    " + FORWARD + "...", ", class Faulty: TypeError: "),
        ("import sys", FORWARD + "sys.exit(0)", ", line 10: SystemExit: 0 (an error in the plug-in"),
        ("import sys; sys.exit(0)", "pass", ", line 2: exits when it is imported (status 0)"),
        (
            "",
            "def __new__(cls, *_):\n        return []\n    " + FORWARD + "...",
            ": class Faulty has a __new__; write __init__",
        ),
        ("", "pass", ", class Faulty: TypeError: Can't instantiate abstract class Faulty"),
        ("", FORWARD + "return self.embed(clips.frames) @ clips.frames", ", line 10: RuntimeError: "),
        ("", FORWARD + "return clips.frames", ", line 9: forward of Faulty returns a Tensor; "),
        ("", FORWARD + "...", ", line 9: forward of Faulty returns a NoneType; "),
        (
            "",
            FORWARD + "return disentangle(self.embed(clips.frames)[..., :5])",
            ", line 9: forward of Faulty returns frames (1, 7, 5) and coherence (1, 5); ",
        ),
        (  # only when it trains
            "",
            FORWARD + "return clips.frames if self.training else disentangle(self.embed(clips.frames))",
            ", line 9: forward of Faulty returns a Tensor; ",
        ),
    ],
)
def test_fault_names_file_and_line(bench, tmp_path, imports, body, message):
    plugin = tmp_path / "faulty.py"
    plugin.write_text(FAULTY.format(imports=imports, body=body))
    answer = bench("run", "--plugin", plugin, "--method", "faulty", "--dataset", "walkers:tiny", "--set", "epochs=1")
    assert answer.status == 2, answer.err
    assert answer.err.splitlines()[-1].startswith(f"bench: {plugin}{message}")
    assert "Traceback" not in answer.err


OWN_BACKBONE = """
from torch import nn

from afa import disentangle
from baselines.interface import Backbone, Baseline, register


@register("tiny-backbone")
class TinyBackbone(Backbone):
    '''Two layers.'''

    def __init__(self, network):
        super().__init__(dict(network.named_children()), channels=(4, 8))

    @classmethod
    def network(cls, name):
        return nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Conv2d(4, 8, 1))


@register("with-own")
class WithBackbone(Baseline):
    '''The mean.'''

    trunk = "tiny-backbone"

    def forward(self, clips):
        return disentangle(self.embed(clips.frames))
"""


def test_tables_name_the_backbone_of_a_plugin(bench, tmp_path, results):
    plugin = tmp_path / "backbone.py"
    plugin.write_text(OWN_BACKBONE)
    words = ("run", "--plugin", plugin, "--method", "with-own+afa", "--dataset", "walkers:tiny", "--epochs", 0)
    assert bench(*words).status == 0
    assert bench(*words, "--backbone", "small").status == 0
    settings = [json.loads(file.read_text())["experiment"]["settings"] for file in results.glob("*/record.json")]
    assert sorted(each["backbone"] for each in settings) == ["small", "tiny-backbone"]
    table = bench("table", "--plugin", plugin).out
    assert "with-own+afa (backbone=small)" in table


def test_a_model_that_ignores_the_backbone_is_refused(bench, tmp_path):
    plugin = tmp_path / "backbone.py"
    change = ("self.embed(clips.frames)", "clips.frames.flatten(2)[..., : self.channels]")
    plugin.write_text(OWN_BACKBONE.replace(*change).replace('    trunk = "tiny-backbone"\n', ""))
    answer = bench("run", "--plugin", plugin, "--method", "with-own", "--dataset", "walkers:tiny", "--epochs", 0)
    assert answer.status == 2
    assert "does not use the backbone small, which tables would name" in answer.err.splitlines()[-1]
    assert answer.err.splitlines()[-1].startswith(f"bench: {plugin}, line ")


HOOKED = """
from pathlib import Path

from mmengine.hooks import Hook

from baselines.interface import register
from baselines.mean import Mean


class Freeze(Hook):
    def before_train(self, runner):
        self.at_first = [weight.clone() for weight in runner.model.baseline.parameters()]

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        runner.model.baseline.requires_grad_(False)

    def after_train(self, runner):
        assert all(map(lambda a, b: a.equal(b), self.at_first, runner.model.baseline.parameters()))
        Path("seen").write_text(f"{runner.iter} iterations, {runner.epoch} epochs")


@register("hooked")
class Hooked(Mean):
    '''A mean of frames with fixed weights.'''

    def hooks(self):
        return [Freeze()]
"""


def test_hooks_of_a_plugin_act_on_its_training(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hooked.py").write_text(HOOKED)
    words = ("run", "--plugin", "hooked.py", "--method", "hooked", "--dataset", "walkers:tiny", "--epochs", 3)
    answer = bench(*words)
    assert answer.status == 0, answer.err
    assert (tmp_path / "seen").read_text() == "3 iterations, 3 epochs"


def test_hooks_that_are_none(bench, tmp_path):
    plugin = tmp_path / "hooked.py"
    plugin.write_text(HOOKED.replace("[Freeze()]", "[Freeze]"))
    answer = bench("run", "--plugin", plugin, "--method", "hooked", "--dataset", "walkers:tiny", "--epochs", 1)
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith(f"bench: {plugin}, line 26: hooks returns <class")


LISTS = """
from benchmarks.data.dataset import Dataset
from benchmarks.suites.suite import Suite
from baselines.interface.registry import register

@register("listed")
class Listed({base}):
    layout = source = folder = "x"
    protocols = ("standard",)

    def {method}(self, *given):
        return {value}
"""


@pytest.mark.parametrize("value", ["None", "['mean']", "[1] * 10**5", "7"])
def test_suite_that_returns_no_rows(bench, tmp_path, value):
    plugin = tmp_path / "suite.py"
    plugin.write_text(LISTS.format(base="Suite", method="rows", value=value))
    answer = bench("suite", "show", "listed", "--plugin", plugin)
    assert answer.status == 2
    line = answer.err.splitlines()[-1]
    assert line.startswith(f"bench: {plugin}, class Listed: rows must return a list of Row, not ")
    assert len(line) < 300


def test_data_set_that_returns_a_list(bench, tmp_path):
    plugin = tmp_path / "data.py"
    plugin.write_text(LISTS.format(base="Dataset", method="read", value="[1]"))
    answer = bench("data", "stats", "listed", "--plugin", plugin, "--root", tmp_path)
    assert answer.status == 2
    assert "the data set's `read` returned a list; it must return a DataFrame" in answer.err.splitlines()[-1]


def test_broken_plugin_is_not_submitted(bench, tmp_path):
    plugin = tmp_path / "faulty.py"
    plugin.write_text("import no_such_module\n" + FAULTY.format(imports="", body=FORWARD + "..."))
    words = ("--plugin", plugin, "--method", "faulty", "--dataset", "walkers:tiny")
    answer = bench("submit", "--dry-run", *words)
    assert answer.status == 2
    assert f"{plugin}, line 1: ModuleNotFoundError" in answer.err


def test_plugin_that_registers_nothing(bench, tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    assert "broken.py, line 1: ModuleNotFoundError" in bench("list", "--plugin", tmp_path / "broken.py").err
    (tmp_path / "empty.py").write_text("")
    answer = bench("list", "--plugin", tmp_path / "empty.py")
    assert answer.status == 2
    assert "registers no baseline, matcher, backbone, data set, suite or claim" in answer.err


def test_run_of_a_missing_plugin(bench, finished):
    folder, record = finished
    experiment = replace(record.experiment, method="absent+afa")
    record = replace(record, name=experiment.name, experiment=experiment)
    folder.record.write_text(record_to_json(record))
    folder.path.rename(folder.path.with_name(record.name))
    hint = "baseline 'absent' not known here; name the file with --plugin FILE.py"
    for words in (("eval", record.name, "--dataset", "walkers@2:tiny"), ("features", record.name)):
        answer = bench(*words)
        assert answer.status == 2
        assert hint in answer.err.splitlines()[-1]
    for words in (("show", record.name), ("table",)):
        answer = bench(*words)
        assert answer.status == 0
        assert hint in answer.err
    other = replace(experiment, seed=7)
    again = folder.path.with_name(other.name)
    again.mkdir()
    (again / "record.json").write_text(record_to_json(replace(record, name=other.name, experiment=other)))
    assert bench("table").err.count(hint) == 1  # of both: 2 runs
    assert "cannot check whether 2 runs are current: baseline 'absent'" in bench("table").err


def test_damaged_frame_in_a_worker(bench, tmp_path, monkeypatch):
    # As if the frame was damaged after the run had checked it.
    monkeypatch.setattr("benchmarks.scheduling.single_runs.refuse_bad_frames", lambda *_: None)
    plugin = tmp_path / "damaged.py"
    plugin.write_text(PLUGIN.replace("two-people", "damaged"))
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((16, 8, 3), 60 * i, np.uint8))
    (tmp_path / "2.png").write_bytes(b"no image")
    words = ("run", "--plugin", plugin, "--method", "mean", "--dataset", "damaged", "--root", tmp_path)
    for workers in (0, 1):
        answer = bench(*words, "--workers", workers)
        assert answer.status == 2
        assert answer.err.splitlines()[-1].startswith("bench: 2.png: not a readable image")
        assert "Traceback" not in answer.err
