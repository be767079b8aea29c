"""A record that cannot be read stops nothing else: the others are loaded, and a line names what is left out."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from baselines.interface.errors import UserError
from benchmarks.experiments.experiment import EXTERNAL, Experiment
from benchmarks.runs.checksums import checksum_file
from benchmarks.runs.exchange import DIGESTS, RECORDS, _digest, export_runs, exported_records, exported_runs, merge_file
from benchmarks.runs.find import find_run
from benchmarks.runs.finished import FinishedRun, finished_runs
from benchmarks.runs.folder import RunFolder, temporarily_removed
from benchmarks.runs.query_file import read_queries
from benchmarks.runs.record import Metrics, record_to_json
from benchmarks.runs.store import load_records, read_record, write_record
from benchmarks.runs.unfinished import start_run, starting_code, unfinished_runs

QUERIES = pd.DataFrame(
    {
        "protocol": "official", "feature": "before", "query": ["a", "b"], "pid": [1, 2], "camid": [0, 1],
        "average_precision": [1.0, 0.5], "first_hit_rank": [1.0, 2.0],
    }
)  # fmt: skip


@pytest.fixture
def three(make_record, results):
    """The folders of three finished runs; the record of the second is damaged."""
    folders = []
    for seed in range(3):
        record = make_record(seed=seed)
        folder = RunFolder(results / record.name)
        start_run(folder, record.experiment, record.code)
        write_record(folder, record, QUERIES)
        folders.append(folder)
    values = json.loads(folders[1].record.read_text())
    values["metrics"][0]["mAP"] = 1.5
    folders[1].record.write_text(json.dumps(values))
    return folders


def test_bad_record_is_left_out(three, results, capsys):
    assert [record.experiment.seed for record in load_records(results)] == [0, 2]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bench: left out: {three[1].record}: metrics.0.mAP: ")


def test_table_shows_the_others(three, bench):
    answer = bench("table", "--format", "csv")
    assert answer.status == 0
    assert answer.out.splitlines()[1].split(",")[2] == "2"  # runs
    assert f"bench: left out: {three[1].record}: metrics.0.mAP: " in answer.err


VERBS = (
    "table", "table table4 --dataset walkers", "verdict", "plan fig3b --dataset walkers", "status", "figure cmc",
    "figure training", "figure fig3a", "records export all.parquet", "report --to site",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_sparse_record_stops_no_verb(three, make_record, results, bench, tmp_path, monkeypatch, verb):
    """A record that is valid and has as little as can be: no settings, no phases, unknown names, no match.

    Beside it lies a run whose other files are damaged.
    """
    monkeypatch.chdir(tmp_path)
    three[0].queries.write_bytes(b"no parquet")
    three[0].curves.write_text('{"epoch": 1, "loss": "low"}\n')
    nothing = [Metrics("strange", "after", None, None, None, None, None, 0, 1)]
    for method in ("mean", "unknown+afa-motion", "<b>"):
        experiment = Experiment(method, "walkers", "nowhere", {}, 0, 0, "d", "d", "none", "strange")
        for each in (experiment, replace(experiment, test="walkers"), replace(experiment, recipe=EXTERNAL)):
            record = replace(make_record(experiment=each, metrics=nothing, cost=None), phases={}, peak_memory={})
            write_record(RunFolder(results / record.name), record, QUERIES.iloc[:0])
    answer = bench(*verb.split())
    assert answer.status == 0 or (verb == "verdict" and "nothing to judge" in answer.err), answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"[]", b'{"format": 1}'])
def test_damaged_file_is_left_out(three, results, content):
    three[0].record.write_bytes(content)
    assert [record.experiment.seed for record in load_records(results)] == [2]


def test_record_that_is_a_folder_is_left_out(three, results, capsys):
    three[0].record.unlink()
    three[0].record.mkdir()
    assert len(load_records(results)) == 1
    assert f"{three[0].record}: cannot be read (Is a directory)" in capsys.readouterr().err


def test_record_in_another_folder_reads_its_own_files(three, results):
    three[0].path.rename(results / "renamed")
    (run,) = [run for run in finished_runs(results) if run.experiment.seed == 0]
    assert run.folder == RunFolder(results / "renamed")


def test_find_by_beginning_end_and_path(three, results):
    name = three[0].path.name
    for text in (name, name[-8:], str(three[0].path), name[:-3]):
        assert find_run(text, results)[0].path.name == name
    with pytest.raises(UserError, match="matches 2 runs in"):
        find_run("walkers", results)
    with pytest.raises(UserError, match="no finished run 'mars'"):
        find_run("mars", results)
    with pytest.raises(UserError, match=r"mAP: .*--fresh makes it again"):
        find_run(three[1].path.name, results)


def test_unreadable_record_is_never_written(make_record, results):
    record = make_record()
    folder = RunFolder(results / "a")
    with pytest.raises(UserError, match="name"):
        write_record(folder, replace(record, name="../a"), QUERIES)
    assert not folder.path.exists()


def test_queries_are_read_by_protocol(three):
    run = FinishedRun(read_record(three[0]), three[0])
    assert run.queries().average_precision.tolist() == [1.0, 0.5]
    assert run.queries("full").empty


DAMAGED = (
    b"no parquet",
    QUERIES.drop(columns="pid"),
    QUERIES.assign(average_precision=["high", "low"]),
    QUERIES.assign(average_precision=[7.0, 0.5]),
    QUERIES.assign(average_precision=[np.nan, 0.5]),
    QUERIES.assign(first_hit_rank=[0.0, 2.0]),
    QUERIES.assign(pid=[1.5, 2.0]),
    QUERIES.assign(query=[1, 2]),
)


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_queries_are_left_out(three, capsys, content):
    checksum_file(three[0].queries).unlink()  # as of an earlier version, so that the columns are read
    content.to_parquet(three[0].queries) if isinstance(content, pd.DataFrame) else three[0].queries.write_bytes(content)
    run = FinishedRun(read_record(three[0]), three[0])
    assert run.queries().empty
    assert run.queries("standard").empty
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bench: left out: {three[0].queries}: ")
    assert "--fresh" in line


def flips(file):
    """One flipped bit in every 37th byte of a file, in turn."""
    whole = file.read_bytes()
    for place in range(0, len(whole), 37):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        file.unlink()  # what was read before may still be mapped
        file.write_bytes(content)
        yield place


def test_flipped_bit_in_queries_is_noticed(three):
    for _ in flips(three[0].queries):
        with pytest.raises(UserError, match=rf"^{three[0].queries}: damaged .*--fresh"):
            read_queries(three[0].queries)


@pytest.mark.parametrize(
    "text", ["{", "3", '{"epoch": "one"}', '{"loss": 1}', "[" * 10**5, f'{{"epoch": {"9" * 5000}}}']
)
def test_damaged_curves_are_left_out(three, capsys, text):
    three[0].curves.write_text(text + "\n")
    assert FinishedRun(read_record(three[0]), three[0]).curves().empty
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bench: left out: {three[0].curves}: ")


def test_copied_run_counts_once(three, results, capsys):
    shutil.copytree(three[2].path, results / "walkers-mean-seed2-copy")
    assert [record.experiment.seed for record in load_records(results)] == [0, 2]
    assert f"walkers-mean-seed2-copy: a copy of {three[2].path}; remove one of them" in capsys.readouterr().err


def test_hidden_folder_holds_no_run(three, results):
    three[0].path.rename(results / ".jobs")
    assert [record.experiment.seed for record in load_records(results)] == [2]


def write_exported(table, records, file):
    """As another program may do, which computes the checksums of what it writes."""
    text = records.encode()
    digests = f"{hashlib.sha256(text).hexdigest()} {_digest(table.to_pandas())}"
    pq.write_table(table.replace_schema_metadata({RECORDS: text, DIGESTS: digests}), file)


@pytest.fixture
def exported(three, tmp_path):
    """A file with three runs; the record of the second is damaged."""
    values = json.loads(three[1].record.read_text())
    values["metrics"][0]["mAP"] = 0.5
    three[1].record.write_text(json.dumps(values))
    file = tmp_path / "runs.parquet"
    export_runs([(folder, read_record(folder)) for folder in three], file)

    def damage(change):
        table = pq.read_table(file)
        records = json.loads(table.schema.metadata[RECORDS])
        change(records)
        write_exported(table, json.dumps(records), file)
        return file

    return damage


@pytest.mark.parametrize("name", ["../away", "/tmp/away", "..", ".jobs", "a\\b", ""])
def test_bad_record_in_a_file_is_left_out(exported, tmp_path, capsys, name):
    file = exported(lambda records: records[1].update(name=name))
    assert [record.experiment.seed for record in exported_records(file)] == [0, 2]
    assert f"bench: left out: {file}, record 2: name: " in capsys.readouterr().err
    assert merge_file(file, tmp_path / "mine") == (2, 0)
    assert merge_file(file, tmp_path / "mine") == (0, 2)
    assert len(list((tmp_path / "mine").iterdir())) == 2
    assert not (tmp_path / "away").exists()


def test_flipped_bit_in_an_exported_file_changes_nothing_unnoticed(three, tmp_path):
    file = tmp_path / "runs.parquet"
    export_runs([(three[0], read_record(three[0]))], file)
    ((record, queries),) = exported_runs(file)
    messages = []
    for place in flips(file):
        try:
            ((found, rows),) = exported_runs(file)
        except UserError as error:
            messages.append(str(error))
        else:
            assert (found, rows.to_json()) == (record, queries.to_json()), place
    assert len(messages) > 50
    assert all(message.startswith(f"{file}: ") for message in messages)


def test_checksum_is_the_same_where_pandas_has_texts_as_objects(three, tmp_path, monkeypatch):
    """As before pandas 3."""
    file = tmp_path / "runs.parquet"
    export_runs([(three[0], read_record(three[0]))], file)
    with_texts = pd.read_parquet(file)
    texts = [name for name, kind in with_texts.dtypes.items() if kind.kind == "O"]
    monkeypatch.setattr(pd, "read_parquet", lambda _: with_texts.astype(dict.fromkeys(texts, object)))
    assert "run" in texts
    assert len(exported_runs(file)) == 1


def test_file_without_checksums_is_refused(three, tmp_path):
    """Damage can hide them: changed rows would pass unnoticed."""
    file = tmp_path / "runs.parquet"
    export_runs([(three[0], read_record(three[0]))], file)
    table = pq.read_table(file)
    metadata = {key: value for key, value in table.schema.metadata.items() if key != b"bench digests"}
    assert len(metadata) < len(table.schema.metadata)
    pq.write_table(table.replace_schema_metadata(metadata), file)
    for read in (exported_runs, exported_records):
        with pytest.raises(UserError, match=r"runs\.parquet: has no checksums"):
            read(file)


def test_merge_goes_on_after_a_damaged_run(exported, three, results, capsys):
    file = exported(lambda records: None)
    three[0].record.write_text("{")
    assert merge_file(file, results) == (0, 2)
    assert f"bench: left out: {three[0].record}: Invalid JSON" in capsys.readouterr().err
    for folder in three[:2]:
        folder.record.unlink()
    with three[0].lock():
        assert merge_file(file, results) == (1, 1)
    assert f"bench: left out: {three[0].path}: another process is running" in capsys.readouterr().err


def test_run_with_damaged_results_is_not_merged(exported, tmp_path, capsys):
    file = exported(lambda records: None)
    table = pq.read_table(file)
    precision = np.where(np.arange(len(table)) < 2, 7.0, 0.5)
    table = table.set_column(table.schema.get_field_index("average_precision"), "average_precision", [precision])
    write_exported(table, table.schema.metadata[RECORDS].decode(), file)
    assert merge_file(file, tmp_path / "mine") == (2, 0)
    assert "query 'a' has an average precision or a rank that cannot be" in capsys.readouterr().err


def test_run_that_is_twice_in_a_file_counts_once(exported, tmp_path):
    file = exported(lambda records: records.append(records[0]))
    assert merge_file(file, tmp_path / "mine") == (3, 0)


@pytest.mark.parametrize("value", [3, None, [], "x", float("nan")])
def test_record_of_another_type_is_left_out(exported, value):
    file = exported(lambda records: records.__setitem__(0, value))
    assert len(exported_records(file)) == 2


def test_file_with_no_list_is_refused(exported):
    file = exported(lambda records: records.clear())
    assert exported_records(file) == []
    table = pq.read_table(file)
    write_exported(table, "{}", file)
    with pytest.raises(UserError, match="not a file that `bench records export` wrote"):
        exported_records(file)


def test_doctor_lists_damaged_runs(three, bench, capsys):
    three[2].settings.write_text("{")
    lines = [line.split("->")[-1].strip() for line in bench("doctor").out.splitlines() if "--fresh" in line]
    assert [line.partition(": ")[0] for line in lines] == [str(three[1].record), str(three[2].settings)]
    assert "metrics.0.mAP" in lines[0]


def test_damaged_start_is_left_out(three, results, capsys):
    for folder in three:
        folder.record.unlink()
    three[0].settings.write_text("{")
    values = json.loads(three[1].settings.read_text())
    three[1].settings.write_text(json.dumps({**values, "settings": {"epochs": "many"}}))
    assert [run.experiment.seed for run in unfinished_runs(results)] == [2]
    errors = capsys.readouterr().err
    assert f"{three[0].settings}: not the experiment of a run" in errors
    assert "settings: epochs takes a whole number" in errors
    with pytest.raises(UserError, match="--fresh makes it again"):
        starting_code(three[0])


def test_damaged_curves_stop_no_listing(three, results):
    three[2].record.unlink()
    three[2].curves.write_text('{"epoch": "three"}\n')
    (run,) = unfinished_runs(results)
    assert run.detail == "curves.jsonl is damaged"


def test_removed_runs_come_back_after_a_failure(three):
    def fail():
        with temporarily_removed(three[:1]):
            assert not three[0].path.exists()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read_record(three[0]) is not None
    with temporarily_removed(three[:1]):
        pass
    assert not three[0].path.exists()


def test_nan_metric_is_no_record(make_record):
    record = make_record()
    bad = replace(record, metrics=[replace(record.metrics[0], mAP=np.nan)])
    with pytest.raises(ValueError, match="JSON"):
        record_to_json(bad)
