"""A record is read as it was written, and a damaged or hostile one is refused by the name of its field."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest

from baselines.interface.errors import UserError
from benchmarks.experiments.experiment import EXTERNAL, Experiment
from benchmarks.runs.exchange import exported_records
from benchmarks.runs.record import parse_record, record_to_json

MEASURED = Path(__file__).parents[3] / "results" / "measured"
MAY_BE_NULL = {
    "cpu_model",
    "instructions",
    "cost",
    "git",
    "gpu",
    "cores",
    "torch",
    "absent",
    "mAP",
    "R1",
    "R5",
    "R10",
    "R20",
}
MAY_BE_ABSENT = {
    "test_split",
    "flow_weights",
    "attributes",
    "sigma",
    "sampling",
    "epochs",
    "mine",
    "torch",
    "absent",
    "resident",
    "train",
    "data_notes",
    "a data set",
    "cpu_model",
    "instructions",
    "libraries",
    "BLAS",
}
NAMES = {"name", "method", "dataset", "test", "recipe", "protocol"}


def children(value):
    return value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()


def paths(value, above=()):
    """The path of every field in nested JSON."""
    for key, child in children(value):
        yield (*above, key)
        yield from paths(child, (*above, key))


def wrong_values(field, value):
    """Values of other types, and of the same type that cannot be right."""
    wrong = [[1, [2]], {"x": [1]}] if field != "mine" else [[1], {"x": 1}]
    wrong += [] if field in MAY_BE_NULL else [None]
    if isinstance(value, bool):
        return [*wrong, 1, "yes"]
    if isinstance(value, str):
        return [*wrong, *(["\x1b[2J", "a\nb", "x" * 10**4]), *(["", 3, True] if field != "mine" else [])] + (
            ["../up", "a/b", "a\\b", ".", "..", ".jobs"] if field in NAMES else []
        )
    if isinstance(value, int | float) and field != "mine":
        return [*wrong, -1, "1", True, float("nan"), float("inf"), *([10**400] if isinstance(value, int) else [])]
    return [*wrong, 3, "x"] if isinstance(value, dict | list) else wrong


def changed(values, path, new=None, remove=False):
    values = copy.deepcopy(values)
    parent = values
    for key in path[:-1]:
        parent = parent[key]
    if remove:
        del parent[path[-1]]
    else:
        parent[path[-1]] = new
    return json.dumps(values)


def refusal(text):
    """The message with which a text is refused; empty if it is accepted."""
    try:
        parse_record(text, "runs/a/record.json")
    except UserError as error:
        return str(error)
    return ""


@pytest.fixture
def valid(make_record):
    """The JSON of a record that has every field."""
    record = make_record(sigma=0.1, sampling="even", mine="own")
    return json.loads(record_to_json(replace(record, data_notes={"a data set": "drawn in lines"})))


def test_written_record_is_read_back(make_record):
    record = make_record(sigma=0.1)
    assert parse_record(record_to_json(record), "a file") == record


def test_every_wrong_field_is_named(valid):
    count = 0
    for path in paths(valid):
        field = next(str(key) for key in reversed(path) if isinstance(key, str))
        value = valid
        for key in path:
            value = value[key]
        texts = [changed(valid, path, wrong) for wrong in wrong_values(field, value)]
        if isinstance(path[-1], str) and field not in MAY_BE_ABSENT:
            texts.append(changed(valid, path, remove=True))
        for text in texts:
            line = refusal(text)
            assert line.startswith("runs/a/record.json: "), (path, text)
            assert field in line, (path, text)
            assert line.isprintable(), line
            count += 1
    assert count > 300


@pytest.mark.parametrize("field", ["mAP", "R1"])
def test_fraction_above_1_is_refused(valid, field):
    with pytest.raises(UserError, match=field):
        parse_record(changed(valid, ("metrics", 0, field), 1.01), "a file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"R5": 0.4}, "metrics.0 must not fall from R1 to R20"),
        ({"R20": None}, "metrics.0 must be null if no query has a match, and only then"),
        ({"queries": 0}, "metrics.0 must be null if no query has a match, and only then"),
        ({"mAP": 7.0}, "metrics.0.mAP: "),
        ({"mAP": -1.0}, "metrics.0.mAP: "),
    ],
)
def test_impossible_metrics_are_refused(valid, changes, message):
    valid["metrics"][0] |= changes
    assert message in refusal(json.dumps(valid))


@pytest.mark.parametrize("field", ["started", "finished"])
def test_truncated_time_is_not_read_as_seconds_since_1970(valid, field):
    assert f"{field}: must be a date and a time" in refusal(json.dumps({**valid, field: "20"}))


def test_repeated_metrics_are_refused(valid):
    valid["metrics"] *= 2
    assert "metrics.1 must not repeat protocol official, feature before" in refusal(json.dumps(valid))


def test_name_is_that_of_the_experiment(valid, make_record):
    other = make_record(seed=7).name
    assert f"name must be that of the experiment, {valid['name']!r}, not {other!r}" in refusal(
        json.dumps({**valid, "name": other})
    )


def test_name_that_no_file_system_holds_is_refused(make_record):
    experiment = Experiment("\u6b65" * 60, "\u4eba" * 60, "\u4eba" * 60, {}, 0, 0, "d", "d", "none", EXTERNAL)
    assert len(experiment.name) < 200
    assert "name must have at most 200 bytes" in refusal(record_to_json(make_record(experiment=experiment)))


def test_known_setting_is_checked(valid):
    with pytest.raises(UserError, match="sampling must be one of"):
        parse_record(changed(valid, ("experiment", "settings", "sampling"), "odd"), "a file")


def test_unknown_attachment_is_refused(valid):
    with pytest.raises(UserError, match=r"method 'mean\+x'"):
        parse_record(changed(valid, ("experiment", "method"), "mean+x"), "a file")


@pytest.mark.parametrize("value", [10**400, float("nan"), float("-inf"), [1], None, {"a": 1}, "a\nb"])
def test_unknown_setting_must_be_simple(valid, value):
    with pytest.raises(UserError, match=r"settings.*mine"):
        parse_record(changed(valid, ("experiment", "settings", "mine"), value), "a file")


def test_unknown_field_is_refused(valid):
    with pytest.raises(UserError, match="a file: more"):
        parse_record(json.dumps({**valid, "more": 1}), "a file")


def test_other_format_is_named(valid):
    with pytest.raises(UserError, match="a record of format 2; this version of bench reads 1"):
        parse_record(json.dumps({**valid, "format": 2, "metrics": "new"}), "a file")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", b"\xff\xfe", "[" * 10**5, "9" * 5000, '{"format": 1'])
def test_text_that_is_no_record_is_refused(text):
    with pytest.raises(UserError, match=r"^a file: "):
        parse_record(text, "a file")


def test_committed_records_keep_their_json():
    files = sorted(MEASURED.rglob("*.parquet"))
    assert files
    for file in files:
        import pyarrow.parquet as pq

        texts = json.loads(pq.read_schema(file).metadata[b"bench records"])
        assert [json.loads(record_to_json(record)) for record in exported_records(file)] == texts


def test_committed_records_merge_without_loss():
    """`bench records merge results/measured/*.parquet` keeps one run of each name, so no two of them may share one."""
    finished: dict[str, set] = {}
    for file in MEASURED.glob("*.parquet"):
        for record in exported_records(file):
            finished.setdefault(record.name, set()).add(record.finished)
    assert [name for name, times in finished.items() if len(times) > 1] == []
