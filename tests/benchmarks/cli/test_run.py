"""bench run and bench eval: what they write, expect and refuse."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from baselines.interface.errors import UserError
from benchmarks.engine.model import build_model
from benchmarks.experiments.settings import resolve
from benchmarks.runs.cost import cost
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records, read_record

RUN = ("run", "--dataset", "walkers:tiny", "--set", "epochs=1")


def test_run_writes_all_files_once(bench, results):
    first = bench(*RUN, "--method", "qan+afa")
    assert first.status == 0
    assert "qan+afa" in first.out
    (folder,) = [RunFolder(path) for path in results.iterdir()]
    for file in (folder.settings, folder.log, folder.curves, folder.weights, folder.queries, folder.record):
        assert file.stat().st_size > 0
    record = read_record(folder)
    assert record.experiment.settings["epochs"] == 1
    assert {row.protocol for row in record.metrics} == {"official", "standard", "full"}
    assert {row.feature for row in record.metrics} == {"before", "after"}
    assert record.cost.parameters > 0
    assert set(record.phases) == {"train", "extract", "evaluate"}
    assert all(len(getattr(record.experiment, key)) == 64 for key in ("data", "test_data"))
    assert str(Path.home()) not in folder.record.read_text()
    times = folder.record.stat().st_mtime_ns
    again = bench(*RUN, "--method", "qan+afa")
    assert "finished before; nothing to run" in again.err
    assert again.out == first.out
    assert folder.record.stat().st_mtime_ns == times
    assert bench(*RUN, "--method", "qan+afa", "--fresh").status == 0
    assert folder.record.stat().st_mtime_ns > times


def test_run_that_differs_at_test_takes_the_weights(bench, results, monkeypatch):
    asked = (*RUN, "--method", "cnn3d")

    def ran(*changes):
        known = set(results.glob("*"))
        assert bench(*asked, *changes).status == 0
        (folder,) = [RunFolder(path) for path in set(results.glob("*")) - known]
        return folder, read_record(folder)

    plain, _ = ran()
    shuffled, record = ran("--set", "shuffle=test")
    assert "train" not in record.phases
    assert shuffled.weights.read_bytes() == plain.weights.read_bytes()
    for changes in (("--set", "shuffle=both"), ("--set", "flip=0.0"), ("--seed", "1")):
        other, record = ran(*changes)
        assert "train" in record.phases
        assert other.weights.read_bytes() != plain.weights.read_bytes()
    one, record = ran("--set", "test_frames=1")
    assert "train" not in record.phases
    elsewhere = results.with_name("elsewhere")
    monkeypatch.setenv("BENCH_RESULTS", str(elsewhere))
    assert bench(*asked, "--set", "test_frames=1").status == 0  # where it has to be trained
    alone = read_record(RunFolder(elsewhere / one.path.name))
    assert "train" in alone.phases
    assert alone.metrics == record.metrics


def test_metrics_follow_from_query_results(finished):
    folder, record = finished
    queries = pd.read_parquet(folder.queries)
    for row in record.metrics:
        part = queries[(queries.protocol == row.protocol) & (queries.feature == row.feature)]
        part = part[part.first_hit_rank.notna()]
        assert len(part) == row.queries
        assert row.mAP == pytest.approx(part.average_precision.mean())
        assert pytest.approx((part.first_hit_rank <= 5).mean()) == row.R5


def test_multiply_adds_of_small_backbone(finished):
    _, record = finished
    by_hand = sum(
        (32 >> s) * (16 >> s) * 9 * a * b for s, a, b in ((1, 3, 32), (2, 32, 64), (3, 64, 128), (3, 128, 256))
    )
    assert record.cost.multiply_adds == pytest.approx(by_hand)


def test_multiply_adds_of_lstm():
    settings = resolve("small", "lstm")
    counted = {method: cost(build_model(method, 2, settings, seed=0)[0], settings) for method in ("mean", "lstm")}
    (lstm,) = [
        module for module in build_model("lstm", 2, settings, seed=0)[0].modules() if isinstance(module, torch.nn.LSTM)
    ]
    by_hand = 4 * lstm.hidden_size * (lstm.input_size + lstm.hidden_size)  # four gates, from the input and the state
    assert counted["lstm"].multiply_adds - counted["mean"].multiply_adds == pytest.approx(by_hand)


def test_eval_on_another_dataset(bench, finished, results):
    _, record = finished
    answer = bench("eval", record.name, "--dataset", "walkers@2:tiny")
    assert answer.status == 0
    assert "walkers:tiny to walkers@2:tiny" in answer.out
    assert len(load_records(results)) == 2
    assert bench("eval", record.name, "--dataset", "walkers@2:tiny").out == answer.out
    here = bench("eval", record.name, "--dataset", "walkers@1:tiny")  # another name of the same data set
    assert here.status == 0
    assert len(load_records(results)) == 2  # its own data set gives no new run


def test_every_verb_checks_all_frames_first(bench, finished, monkeypatch, tmp_path):
    folder, _ = finished
    bad = tmp_path / "people" / "1"
    bad.mkdir(parents=True)
    for name in ("1.jpg", "2.jpg"):
        (bad / name).write_bytes(b"no image")
    answer = bench("features", folder.path.name, "--images", bad.parent, "--to", tmp_path)
    assert answer.status == 2
    assert "1.jpg: cannot be decoded" in answer.err
    assert "(and 1 more such frames); `bench data verify` lists every fault" in answer.err

    def refuse(data, progress):
        raise UserError(f"{data.name}: bad frames")

    monkeypatch.setattr("benchmarks.scheduling.single_runs.refuse_bad_frames", refuse)
    run = folder.path.name
    verbs = [("eval", run, "--dataset", "walkers@2:tiny"), ("features", run), ("gallery", run)]
    verbs += [("tune", "--method", "mean", "--dataset", "walkers:tiny", "--trials", "1"), (*RUN, "--method", "mean")]
    for words in verbs:
        answer = bench(*words)
        assert answer.status == 2, words
        assert answer.err.splitlines()[-1].endswith(": bad frames"), words


def test_expected_result(bench, finished):
    """Also of a run that had finished before."""
    _, record = finished
    found = record.find_metrics("official", "before").percent("mAP")
    words = ("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0", "--expect")
    assert bench(*words, f"mAP={found + 1.5:.2f}+-2.0").status == 0
    answer = bench(*words, f"mAP={found + 2.5:.2f}±2", "--expect", "R20=0+-100")
    assert answer.status == 3
    assert answer.err.splitlines()[-1] == f"bench: --expect: mAP is {found:.2f}, not {found + 2.5:.2f}+-2"
    assert "official" in answer.out  # the result is shown all the same


@pytest.mark.parametrize("text", ["61", "mAP=61", "mAP=61+-", "mAP=x+-2", "R2=61+-2", "mAP=nan+-2", "mAP=61+--2"])
def test_malformed_expectation(bench, results, text):
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--expect", text)
    assert answer.status == 2
    assert answer.err.splitlines() == [
        f"bench: --expect {text!r}: write METRIC=VALUE+-TOLERANCE in percent, such as mAP=61.0+-2.0; METRIC is mAP, R1, R5, "
        "R10, R20"
    ]


def test_truncated_weights_are_reported(bench, finished):
    folder, record = finished
    folder.weights.write_bytes(folder.weights.read_bytes()[:1000])
    answer = bench("eval", record.name, "--dataset", "walkers@2:tiny")
    assert answer.status == 2
    assert f"{folder.weights}: damaged" in answer.err.splitlines()[-1]
    assert "--fresh" in answer.err.splitlines()[-1]


def test_held_out_identities_are_not_trained_on(bench, results):
    assert bench(*RUN, "--method", "mean", "--set", "holdout=0.25").status == 0
    (record,) = load_records(results)
    assert "validation" in {row.protocol for row in record.metrics}
    from safetensors.torch import load_file

    weights = load_file(RunFolder(results / record.name).weights)
    assert len(weights["classifier.weight"]) == 6  # of 8


def test_one_process_per_experiment(bench, finished):
    folder, _ = finished
    with folder.lock():
        answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0", "--fresh")
    assert answer.status == 2
    assert "another process is running this experiment" in answer.err
    assert read_record(folder) is not None  # nothing was lost
