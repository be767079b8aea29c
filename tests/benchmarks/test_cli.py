"""`bench` as a user meets it: what a verb prints and writes, and one line for each thing that a user can get wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import records
from benchmarks.model import build_model
from benchmarks.run import cost
from benchmarks.settings import resolve

RUN = ("run", "--dataset", "walkers:tiny", "--set", "epochs=1")

PLUGIN = '''
from afa import disentangle
from baselines.baseline import Baseline
from baselines.registry import register
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
    folder = "two"
    layout = "images"
    source = "nowhere"

    def read(self, root, split):
        frames = sorted(file.name for file in root.glob("*.png"))
        rows = [("train", p, c, f"{p}{c}", frames[2 * p : 2 * p + 2]) for p in (0, 1) for c in (0, 1)]
        return make_table(rows + [("query", 0, 0, "q", frames[:2]), ("gallery", 0, 1, "g", frames[:2])])
'''


@pytest.fixture
def finished(bench, results):
    """One finished run, untrained, on walkers:tiny."""
    assert bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0").status == 0
    (record,) = records.finished(results)
    return records.RunFolder(results / record["name"]), record


def test_a_run_leaves_everything_that_a_reader_needs_and_runs_once(bench, results):
    first = bench(*RUN, "--method", "qan+afa")
    assert first.status == 0
    assert "qan+afa" in first.out
    (folder,) = [records.RunFolder(path) for path in results.iterdir()]
    for file in (folder.settings, folder.log, folder.curves, folder.weights, folder.queries, folder.record):
        assert file.stat().st_size > 0
    record = records.read(folder)
    assert record["experiment"]["settings"]["epochs"] == 1
    assert {row["protocol"] for row in record["metrics"]} == {"official", "standard", "full"}
    assert {row["feature"] for row in record["metrics"]} == {"before", "after"}
    assert record["cost"]["parameters"] > 0
    assert set(record["phases"]) == {"train", "extract", "evaluate"}
    assert all(len(record["experiment"][key]) == 64 for key in ("data", "test_data"))
    assert str(Path.home()) not in folder.record.read_text()
    times = folder.record.stat().st_mtime_ns
    again = bench(*RUN, "--method", "qan+afa")
    assert "finished before; nothing to run" in again.err
    assert again.out == first.out
    assert folder.record.stat().st_mtime_ns == times
    assert bench(*RUN, "--method", "qan+afa", "--fresh").status == 0
    assert folder.record.stat().st_mtime_ns > times


def test_metrics_follow_from_the_results_a_query(finished):
    folder, record = finished
    queries = pd.read_parquet(folder.queries)
    for row in record["metrics"]:
        part = queries[(queries.protocol == row["protocol"]) & (queries.feature == row["feature"])]
        part = part[part.first_hit_rank.notna()]
        assert len(part) == row["queries"]
        assert row["mAP"] == pytest.approx(part.average_precision.mean())
        assert row["R5"] == pytest.approx((part.first_hit_rank <= 5).mean())


def test_multiply_adds_of_the_small_backbone_are_those_counted_by_hand(finished):
    _, record = finished
    by_hand = sum(
        (64 >> s) * (32 >> s) * 9 * a * b for s, a, b in ((1, 3, 32), (2, 32, 64), (3, 64, 128), (3, 128, 256))
    )
    assert record["cost"]["multiply_adds"] == pytest.approx(by_hand)


def test_multiply_adds_of_an_lstm_are_those_counted_by_hand():
    settings = resolve("small", "lstm")
    counted = {method: cost(build_model(method, 2, settings, seed=0)[0], settings) for method in ("mean", "lstm")}
    (lstm,) = [
        module for module in build_model("lstm", 2, settings, seed=0)[0].modules() if isinstance(module, torch.nn.LSTM)
    ]
    by_hand = 4 * lstm.hidden_size * (lstm.input_size + lstm.hidden_size)  # four gates, from the input and the state
    assert counted["lstm"]["multiply_adds"] - counted["mean"]["multiply_adds"] == pytest.approx(by_hand)


def test_a_record_of_other_code_is_shown_as_stale_and_not_as_current(bench, finished):
    folder, record = finished
    folder.record.write_text(json.dumps({**record, "code": "0" * 64}))
    assert (
        "stale (made by other code); --fresh runs it again"
        in bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0").err
    )
    table = bench("table").out
    assert "mean*" in table
    assert "* stale: made by other code" in table
    assert "STALE" in bench("show", record["name"]).out


def test_a_record_of_other_data_is_shown_as_stale(bench, finished):
    folder, record = finished
    folder.record.write_text(json.dumps({**record, "experiment": {**record["experiment"], "data": "0" * 64}}))
    assert "* stale: other data: walkers:tiny" in bench("table").out


def test_a_model_is_evaluated_on_another_data_set(bench, finished, results):
    _, record = finished
    answer = bench("eval", record["name"], "--dataset", "walkers@2:tiny")
    assert answer.status == 0
    assert "walkers:tiny to walkers@2:tiny" in answer.out
    assert len(records.finished(results)) == 2
    assert bench("eval", record["name"], "--dataset", "walkers@2:tiny").out == answer.out
    here = bench("eval", record["name"], "--dataset", "walkers@1:tiny")  # another name of the same world
    assert here.status == 0
    assert len(records.finished(results)) == 2  # on its own data set it is the same run


def test_exported_features_score_as_the_run_did(bench, finished, results, tmp_path):
    _, record = finished
    answer = bench("features", record["name"], "--to", tmp_path / "out")
    assert answer.status == 0
    query, gallery = answer.out.split()
    assert (
        bench("score", "--query", query, "--gallery", gallery, "--method", "theirs", "--dataset", "walkers:tiny").status
        == 0
    )
    theirs = next(each for each in records.finished(results) if each["experiment"]["method"] == "theirs")
    ours = {row["protocol"]: row["mAP"] for row in record["metrics"] if row["feature"] == "before"}
    assert {row["protocol"]: row["mAP"] for row in theirs["metrics"]} == pytest.approx(ours)
    table = bench("table").out
    assert "theirs (external) " in table  # and not starred: what it read is not the data set at hand
    assert "mean" in table


def test_features_from_outside_may_be_parquet_and_are_checked(bench, tmp_path):
    columns = {"feature": [[0.0, 1.0], [1.0, 0.0]], "pid": [1, 2], "camid": [0, 0], "tracklet": ["a", "b"]}
    pd.DataFrame(columns).to_parquet(tmp_path / "q.parquet")
    gallery = {key: np.array(value) for key, value in {**columns, "camid": [1, 1]}.items()}
    np.savez(tmp_path / "g.npz", **gallery)
    words = ("score", "--query", tmp_path / "q.parquet", "--gallery", tmp_path / "g.npz")
    assert "100.0" in bench(*words).out
    np.savez(tmp_path / "g.npz", **{**gallery, "feature": np.full((2, 2), np.nan)})
    assert "g.npz: feature row 0 is not finite" in bench(*words).err
    del gallery["camid"]
    np.savez(tmp_path / "g.npz", **gallery)
    refused = bench(*words)
    assert refused.status == 2
    assert "g.npz: lacks camid" in refused.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature": np.zeros((0, 2)), "pid": [], "camid": [], "tracklet": []}, "g.npz: holds no row"),
        ({"pid": [1.0, 2.5]}, "g.npz: pid must be whole numbers, and row 1 has 2.5"),
        ({"pid": [np.nan, 2.0]}, "g.npz: pid must be whole numbers, and row 0 has nan"),
        ({"camid": ["left", "right"]}, "g.npz: camid must be whole numbers"),
        ({"pid": [[1], [2]]}, "must be (N, D) and the rest (N,)"),
        ({"pid": [7, 8]}, "no query has a match in"),
        ({"camid": [0, 0]}, "no query has a match in"),
        ({}, "--method"),
    ],
)
def test_features_from_outside_that_would_give_no_honest_figure_are_refused(bench, results, tmp_path, change, message):
    columns = {"feature": np.eye(2), "pid": [1, 2], "camid": [0, 0], "tracklet": ["a", "b"]}
    np.savez(tmp_path / "q.npz", **columns)
    np.savez(tmp_path / "g.npz", **{**columns, "camid": [1, 1], **change})
    words = ("score", "--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz")
    answer = bench(*words, *(() if change else ("--method", "x" * 300)))
    assert answer.status == 2
    assert message in answer.err.splitlines()[-1]
    assert records.finished(results) == []
    assert not list(results.glob("*"))


def test_pids_that_are_whole_numbers_in_floats_are_taken(bench, tmp_path):
    columns = {"feature": np.eye(2), "pid": [1.0, 2.0], "tracklet": ["a", "b"]}
    np.savez(tmp_path / "q.npz", **columns, camid=[0, 0])
    np.savez(tmp_path / "g.npz", **columns, camid=[1, 1])
    assert "100.0" in bench("score", "--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz").out


def test_held_out_training_identities_are_scored_and_not_trained_on(bench, results):
    assert bench(*RUN, "--method", "mean", "--set", "holdout=0.25").status == 0
    (record,) = records.finished(results)
    assert "validation" in {row["protocol"] for row in record["metrics"]}
    from safetensors.torch import load_file

    weights = load_file(records.RunFolder(results / record["name"]).weights)
    assert len(weights["classifier.weight"]) == 6  # of 8


def test_records_are_exported_and_tabulated_from_the_file(bench, finished, tmp_path):
    file = tmp_path / "shared.parquet"
    assert bench("records", "export", file).status == 0
    assert bench("table", "--from", file).out == bench("table").out
    assert len(pd.read_parquet(file)) == len(pd.read_parquet(finished[0].queries))
    (tmp_path / "other.parquet").write_bytes(b"no")
    assert "other.parquet: not a file that" in bench("table", "--from", tmp_path / "other.parquet").err


def test_a_file_of_runs_is_merged_into_other_results_once(bench, finished, tmp_path, monkeypatch):
    file = tmp_path / "shared.parquet"
    assert bench("records", "export", file).status == 0
    tables = bench("table", "--format", "csv").out
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "mine"))
    assert "1 runs added" in bench("records", "merge", file).out
    assert f"0 runs added to {tmp_path / 'mine'}, 1 were there" in bench("records", "merge", file).out
    assert bench("table", "--format", "csv").out == tables
    assert bench("records", "export", tmp_path / "again.parquet").status == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again.parquet"), pd.read_parquet(file))


def test_a_merged_file_writes_nowhere_but_below_the_results(bench, finished, tmp_path, monkeypatch):
    away = {**records.read(finished[0]), "name": "../away"}
    records.export([(finished[0], away)], tmp_path / "bad.parquet")
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "mine"))
    answer = bench("records", "merge", tmp_path / "bad.parquet")
    assert answer.status == 2
    assert "'../away' is not the name of a run" in answer.err
    assert not (tmp_path / "away").exists()


def test_a_plugin_adds_a_baseline_and_a_data_set(bench, tmp_path, monkeypatch):
    import cv2

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


FAULTY = """
{imports}
from afa import VideoFeatures, disentangle
from baselines.baseline import Baseline
from baselines.registry import register

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
def test_a_fault_in_a_plugin_is_one_line_that_names_file_and_place(bench, tmp_path, imports, body, message):
    plugin = tmp_path / "faulty.py"
    plugin.write_text(FAULTY.format(imports=imports, body=body))
    answer = bench("run", "--plugin", plugin, "--method", "faulty", "--dataset", "walkers:tiny", "--set", "epochs=1")
    assert answer.status == 2, answer.err
    assert answer.err.splitlines()[-1].startswith(f"bench: {plugin}{message}")
    assert "Traceback" not in answer.err


def test_a_plugin_that_registers_nothing_says_why(bench, tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    assert "broken.py, line 1: ModuleNotFoundError" in bench("list", "--plugin", tmp_path / "broken.py").err
    (tmp_path / "empty.py").write_text("")
    answer = bench("list", "--plugin", tmp_path / "empty.py")
    assert answer.status == 2
    assert "registers no baseline, data set or suite" in answer.err


def test_a_run_of_a_plugin_that_is_not_loaded_says_what_to_load(bench, finished):
    folder, record = finished
    elsewhere = {**record["experiment"], "method": "absent+afa"}
    folder.record.write_text(json.dumps({**record, "experiment": elsewhere}))
    hint = "baseline 'absent' not known here; name the file with --plugin FILE.py"
    for words in (("eval", record["name"], "--dataset", "walkers@2:tiny"), ("features", record["name"])):
        answer = bench(*words)
        assert answer.status == 2
        assert hint in answer.err.splitlines()[-1]
    for words in (("show", record["name"]), ("table",)):
        answer = bench(*words)
        assert answer.status == 0
        assert hint in answer.err


def test_a_record_of_another_format_is_one_line(bench, finished, tmp_path):
    folder, record = finished
    assert bench("records", "export", tmp_path / "old.parquet").status == 0
    folder.record.write_text(json.dumps({**record, "format": 99}))
    for words in (("table",), ("show", record["name"])):
        answer = bench(*words)
        assert answer.status == 2
        assert "record.json: a record of format 99" in answer.err.splitlines()[-1]
    folder.record.write_text("{")
    assert "record.json: not a record" in bench("table").err


def test_runs_that_were_begun_and_not_finished_are_listed(bench, finished, results):
    _, record = finished
    begun = {**record["experiment"], "settings": {**record["experiment"]["settings"], "epochs": 40}, "code": "c"}
    folder = records.RunFolder(results / "walkers-tiny-stopped")
    folder.path.mkdir()
    folder.settings.write_text(json.dumps(begun))
    assert "not finished: walkers-tiny-stopped, stopped: no epoch ended" in bench("table").err
    folder.curves.write_text('{"epoch": 11, "iteration": 209}\n{"epoch": 12, "iteration": 228}\n{"epoch": 13, "ite')
    assert "not finished: walkers-tiny-stopped, stopped: epoch 12 of 40" in bench("table").err
    assert "not finished" not in bench("table").out
    assert "not finished" not in bench("table", "--dataset", "mars").err
    folder.failure.write_text("out of memory")
    assert "not finished: walkers-tiny-stopped, failed: out of memory" in bench("table").err
    folder.failure.unlink()
    with folder.lock():
        assert "not finished: walkers-tiny-stopped, running: epoch 12 of 40" in bench("table").err
    folder.weights.touch()
    assert "not finished: walkers-tiny-stopped, stopped: trained, not evaluated" in bench("table").err
    folder.record.write_text((results / record["name"] / "record.json").read_text())
    assert "not finished" not in bench("table").err


@pytest.mark.parametrize("words", [["list"], ["data", "stats", "walkers:tiny"]])
def test_a_reader_who_goes_is_no_fault(words):
    pipe, env = subprocess.PIPE, {**os.environ, "PYTHONUNBUFFERED": ""}
    program = [sys.executable, "-m", "benchmarks.cli", *words]
    with subprocess.Popen(program, stdout=pipe, stderr=pipe, env=env) as running:
        running.stdout.close()
        assert b"Error" not in running.stderr.read()
        assert running.wait() == 141


def test_list_says_what_each_thing_is(bench):
    from benchmarks.data.walkers import SIZES
    from benchmarks.evaluation import PROTOCOLS
    from benchmarks.settings import KEYS

    lines = bench("list").out.splitlines()
    described = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.startswith("  ")}
    assert set(KEYS) | {"mars", "walkers-gait", "small", "BASELINE+afa"} <= set(described)
    assert [size for size in SIZES if f":{size}" not in described[":SIZE"]] == []
    assert {name: described[name] for name in PROTOCOLS} == {name: each.note for name, each in PROTOCOLS.items()}


@pytest.mark.parametrize("place", ["/proc", "/proc/below/it", "file", "file/below"])
def test_doctor_fails_where_a_folder_cannot_be_written_to(bench, tmp_path, monkeypatch, place):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / place))
    answer = bench("doctor")
    assert answer.status == 1
    (line,) = [line for line in answer.out.splitlines() if line.startswith("FAIL")]
    assert "BENCH_CACHE" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--method", "mean", "--dataset", "walkers:smal"), "known: tiny, demo, mars"),
        (("run", "--method", "maen", "--dataset", "walkers:tiny"), "did you mean 'mean'"),
        (("run", "--method", "mean+aff", "--dataset", "walkers:tiny"), "method 'mean+aff'"),
        (("run", "--method", "mean", "--dataset", "wakers"), "did you mean 'walkers'"),
        (("run", "--method", "mean", "--dataset", "walkers:tyni"), "tiny"),
        (("run", "--method", "mean", "--dataset", "mars"), "set BENCH_DATA"),
        (("run", "--method", "mean", "--dataset", "mars", "--root", "/nowhere"), "/nowhere is not a folder"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", "epoch=1"), "did you mean 'epochs'"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--split", "3"), "--split 3"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--recipe", "smal"), "did you mean 'small'"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--weights", "gone.pth"), "gone.pth"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--backbone", "resnet5"), "resnet50"),
        (("run", "--metod", "mean"), "--method"),
        (("run", "--method", "mean"), "--dataset"),
        (("run", "--method", "mean", "--dataset", "walkers", "--seed", "x"), "--seed"),
        (("rum",), "run"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--seed", "-1"), "--seed"),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--weights", "imagenet"), "--weights none"),
        (
            ("run", "--method", "mean", "--dataset", "walkers:tiny", "--backbone", "resnet5", "--weights", "imagenet"),
            "resnet50",
        ),
        (("run", "--method", "mean", "--dataset", "walkers:tiny", "--workers", "-1"), "--workers"),
        (("show", "nothing"), "no finished run 'nothing'"),
        (("table",), "no finished runs"),
        (("list", "--plugin", "gone.py"), "gone.py"),
    ],
)
def test_a_users_error_is_one_line_and_status_2(bench, words, message):
    answer = bench(*words)
    assert answer.status == 2
    line = answer.err.splitlines()[-1]
    assert line.startswith("bench: ")
    assert message in line
    assert "Traceback" not in answer.err


def test_a_damaged_frame_is_one_line_also_from_a_worker(bench, tmp_path):
    import cv2

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


def test_debug_shows_the_traceback(bench):
    from baselines.errors import UserError

    with pytest.raises(UserError):
        bench("show", "nothing", "--debug")


def test_two_processes_do_not_run_one_experiment_at_once(bench, finished):
    folder, _ = finished
    with folder.lock():
        answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0", "--fresh")
    assert answer.status == 2
    assert "another process is running this experiment" in answer.err
    assert records.read(folder) is not None  # nothing was lost


def test_a_results_folder_that_cannot_be_is_named(bench, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "file"))
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0")
    assert answer.status == 2
    assert str(tmp_path / "file") in answer.err.splitlines()[-1]


def test_doctor_names_what_lacks_and_what_to_do(bench):
    answer = bench("doctor")
    assert answer.status == 0
    assert "dukev" in answer.out
    assert "BENCH_DATA" in answer.out
    assert "torch" in answer.out


def test_data_stats_and_verify(bench, tmp_path):
    stats = bench("data", "stats", "walkers:tiny")
    assert stats.status == 0
    assert "query" in stats.out
    verified = bench("data", "verify", "walkers:tiny")
    assert verified.status == 0
    assert "every frame reads" in verified.out


def test_table_formats(bench, finished):
    lines = bench("table", "--format", "csv").out.splitlines()
    assert lines[0] == "data set,method,runs,R1,R5,R10,R20,mAP,M params,G MAC,frames/s"
    assert lines[1].startswith("walkers:tiny,mean,1,")
    assert "| method" in bench("table", "--format", "github").out
    assert "protocol standard" in bench("table", "--protocol", "standard").out
    assert bench("table", "--format", "html").out.startswith("<table>")
    assert "--format word" in bench("table", "--format", "word").err
    assert "--feature x" in bench("table", "--feature", "x").err
    assert "--protocol: no 'strange'" in bench("table", "--protocol", "strange").err
