"""The table says what ran: mean and spread over runs, the settings that differ, and all that is mixed."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.experiments.code_digest import code_digest
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.settings import resolve
from benchmarks.reporting.show import describe
from benchmarks.reporting.table import page, tables
from benchmarks.runs.exchange import export_runs, exported_records
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Cost, Metrics, Phase, record_to_json
from benchmarks.runs.store import load_records

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def record(make_record):
    """A record of two protocols, made by the code of today."""

    def make(method="mean", seed=0, r1=0.5, dataset="walkers", code=None, speed=1000.0, **options):
        metrics = [
            Metrics(protocol, "before", r1 / 2, r1, 1.0, 1.0, 1.0, 10, unmatched)
            for protocol, unmatched in (("standard", 2), ("full", 0))
        ]
        cost, phases = Cost(1_250_000, 4_075_000_000.0), {"extract": Phase(1.0, round(speed), speed)}
        options = {"metrics": metrics, "cost": cost, "phases": phases, **options}
        made = make_record(method, dataset, seed, **options)
        return replace(made, code=code or code_digest(made.experiment))

    return make


@pytest.fixture
def external(record):
    """A record of features that other code made."""

    def make(method="theirs", metric="euclidean", **options):
        made = record(method, recipe="external", **options)
        return replace(made, experiment=replace(made.experiment, settings={"metric": metric}))

    return make


def line(text: str, begin: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(begin))


def test_mean_and_deviation_over_seeds(record):
    (table,) = tables([record(seed=s, r1=r) for s, r in enumerate((0.5, 0.6, 0.7))], None, {})
    row = line(page([table], "terminal"), "mean")
    assert row.split()[:3] == ["mean", "3", "60.0±10.0"]  # by hand: the sample deviation of 50, 60, 70


def test_splits_of_a_real_data_set_are_one_row(record):
    def on(split, digest):
        made = record(dataset="ilidsvid")
        read = {"split": split, "test_split": split, "data": digest, "test_data": digest}
        return replace(made, experiment=replace(made.experiment, **read))

    splits = [on(split, f"{split:x}" * 8) for split in range(10)]
    assert [len(row.runs) for row in tables(splits, None, None)[0].rows] == [10]
    versions = tables([*splits, on(0, "f" * 8)], None, None)[0].rows
    assert [len(row.runs) for row in versions] == [1] * 11, "which versions of two splits belong together is not known"


def test_runs_with_other_attributes_are_two_rows(record):
    first, second = record("adfdta"), record("adfdta", seed=1)
    second = replace(second, experiment=replace(second.experiment, attributes="a" * 8))
    first = replace(first, experiment=replace(first.experiment, attributes="b" * 8))
    assert [len(row.runs) for row in tables([first, second, record("mean")], None, None)[0].rows] == [1, 1, 1]


def test_precisions_are_two_rows(record):
    (table,) = tables([record(precision=each) for each in ("float32", "bf16")], None, {})
    assert [row.label for row in table.rows] == ["mean (precision=bf16)", "mean (precision=float32)"]


def test_costs_are_means_over_runs(record, external):
    outside = external(cost=None, phases={"evaluate": Phase(1.0, 9, 9.0)})
    (table,) = tables([record(seed=0, speed=900), record(seed=1, speed=1200), outside], None, {})
    assert line(page([table], "terminal"), "mean").split()[-3:] == ["1.25", "4.08", "1050"]
    assert line(page([table], "terminal"), "theirs").split()[-3:] == ["-", "-", "-"]


def test_spreads_fit_100_columns(record):
    runs = [record(method, seed, r) for method in ("mean", "cnn3d+afa") for seed, r in enumerate((0.60, 0.61, 0.62))]
    (table,) = tables(runs, None, {})
    assert max(map(len, page([table], "terminal").splitlines())) <= 100  # and what is said below it


def test_labels_show_different_settings(record):
    (table,) = tables([record(), record(epochs=0), record("qan")], None, {})
    assert [row.label for row in table.rows] == ["mean (epochs=0)", "mean (epochs=40)", "qan (epochs=40)"]


def test_one_table_per_data_set(record):
    assert [table.title for table in tables([record(), record(dataset="mars")], None, {})] == ["mars", "walkers"]


def test_notes_name_protocol_and_unmatched(record):
    (table,) = tables([record()], None, {})
    assert "protocol standard" in page([table], "terminal")
    assert "queries without a match, left out: 2" in page([table], "terminal")
    (table,) = tables([record()], "full", {})
    assert "left out" not in page([table], "terminal")


def test_stale_records_are_separate_rows(record):
    (table,) = tables([record(), record(seed=1, code="0" * 64)], None, {})
    assert sorted((len(row.runs), bool(row.stale)) for row in table.rows) == [(1, False), (1, True)]
    (table,) = tables([record()], None, {"walkers/0": {"e" * 64}})
    assert "* stale: other data: walkers" in table.notes
    (table,) = tables([record(seed=1, code="0" * 64)], None, None)
    assert not table.rows[0].stale


OLD, NEW = "0" * 32, "1" * 32  # halves of a code digest: the shared code, and the files of the model


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([("mean", NEW + OLD, {}), ("qan", NEW + NEW, {})], ""),
        ([("mean", NEW + OLD, {"backbone": "resnet50"}), ("mean", NEW + NEW, {"backbone": "vit:16"})], ""),
        ([("mean", NEW + OLD, {"matcher": "none"}), ("mean", NEW + NEW, {"matcher": "cssa"})], ""),
        (
            [("mean", NEW + OLD, {"backbone": "vit:16"}), ("mean+afa", NEW + NEW, {"backbone": "vit:32"})],
            "several versions of the files of mean",
        ),
        ([("mean", OLD + NEW, {}), ("qan", NEW + OLD, {})], ""),  # as in the first records
        ([("mean", OLD + OLD, {}), ("mean+afa", NEW + OLD, {})], "several versions of the shared code"),
    ],
)
def test_code_is_mixed_where_a_row_is_not_made_like_the_others(record, runs, said):
    (table,) = tables([record(method, code=code, **settings) for method, code, settings in runs], None, None)
    (note,) = [note for note in table.notes if note.startswith("recipe")]
    code = note.partition("; code ")[2]
    assert ("MIXED" in code) == bool(said)
    assert said in code


def test_github_and_csv_agree(record):
    (table,) = tables([record()], None, {})
    cells = [cell.strip() for cell in line(page([table], "github"), "| mean").strip("|").split("|")]
    assert cells == ["mean", "1", "50.0", "100.0", "100.0", "100.0", "25.0", "1.25", "4.08", "1000"]
    assert next(csv.reader(page([table], "csv").splitlines()[1:]))[:-1] == ["walkers", *cells]


def test_csv_has_one_header(record):
    lines = page(tables([record(), record("qan"), record(dataset="mars")], None, {}), "csv").splitlines()
    assert [line.split(",")[:2] for line in lines] == [
        ["data set", "method"], ["mars", "mean"], ["walkers", "mean"], ["walkers", "qan"],
    ]  # fmt: skip


def test_common_changes_are_noted(record):
    (table,) = tables([record(epochs=3), record("qan", epochs=3)], None, {})
    assert [row.label for row in table.rows] == ["mean", "qan"]
    assert "changed from the recipe: epochs=3" in table.notes
    assert not any("changed" in note for note in tables([record()], None, {})[0].notes)


def test_own_changes_are_in_the_label(record):
    plain, changed = record("mean+afa", sigma=0.025), record("mean+afa", sigma=0.5)
    (table,) = tables([plain, changed, record(sigma=0.0)], None, {})
    assert [row.label for row in table.rows] == ["mean", "mean+afa", "mean+afa (sigma=0.5)"]
    (table,) = tables([record(sigma=0.0), record("mean+afa", sigma=0.0)], None, {})  # the same, which one name implies
    assert [row.label for row in table.rows] == ["mean", "mean+afa (sigma=0.0)"]
    (table,) = tables([record("mean+afa", recipe="mine", sigma=s) for s in (0.1, 0.2)], None, {})
    assert [row.label for row in table.rows] == ["mean+afa (sigma=0.1)", "mean+afa (sigma=0.2)"]


def test_own_settings_of_a_baseline_are_in_the_label_where_they_were_changed(record):
    own = {"adfdta.sigma": 1.0, "adfdta.attribute_weight": 2.0}  # the first is the default
    (table,) = tables([record("mean"), record("adfdta", **own)], None, {})
    assert [row.label for row in table.rows] == ["adfdta (adfdta.attribute_weight=2.0)", "mean"]


def test_unequal_tuning_is_noted(record):
    alike = [record("mean", tuning_trials=9, lr=0.1), record("qan", tuning_trials=9, lr=0.2)]
    (table,) = tables(alike, None, {})
    assert [row.label for row in table.rows] == ["mean (tuned)", "qan (tuned)"]
    assert {"mean (tuned): lr=0.1", "qan (tuned): lr=0.2"} < set(table.notes)
    assert any(note.startswith("tuned: 9 trials each") for note in table.notes)
    (table,) = tables([*alike, record("lstm", tuning_trials=0, lr=0.1)], None, {})
    assert any(note.startswith("UNEQUAL TUNING: trials: 0 of lstm") for note in table.notes)
    assert not any("tun" in note.lower() for note in tables([record(tuning_trials=0)], None, {})[0].notes)


def test_two_tunings_are_two_rows(record):
    (table,) = tables([record(tuning_trials=9, lr=lr) for lr in (0.1, 0.2)], None, {})
    assert len({row.label for row in table.rows}) == 2
    for row in table.rows:
        assert f"{row.label}: lr={row.runs[0].experiment.settings['lr']}" in table.notes


def test_external_method_is_marked(record, external):
    (table,) = tables([record(), external("mean"), external("mean", "cosine")], None, {})
    assert [row.label for row in table.rows] == ["mean", "mean (external)", "mean (external, cosine)"]


def test_other_features_are_two_rows(external):
    first, second = external(r1=0.2), external(r1=0.4, data="e")
    (table,) = tables([first, second], None, {})
    assert sorted(row.values["R1"] for row in table.rows) == [[20.0], [40.0]]
    names = {each.experiment.name[-10:] for each in (first, second)}
    assert {row.label for row in table.rows} == {f"theirs (external, {name})" for name in names}


def test_long_label_is_wrapped(record):
    values = {f"setting_{letter}": "v" * 15 for letter in "abcdefgh"}
    (table,) = tables([record(**values), record(epochs=0)], None, {})
    text = page([table], "terminal")
    assert max(map(len, text.splitlines())) <= 100
    assert all(key in text for key in values)


def test_many_seeds_are_a_range(record):
    def seeds(*numbers):
        (table,) = tables([record(seed=number) for number in numbers], None, None)
        return next(note for note in table.notes if "seeds" in note)

    assert "seeds 0, 1, 2;" in seeds(0, 1, 2)
    assert "seeds 0 to 9;" in seeds(*range(10))
    assert "seeds 0, 1, 2, 4;" in seeds(0, 1, 2, 4)


def test_export_gives_back_the_records(tmp_path, bench, results):
    assert bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0").status == 0
    (ours,) = load_records(results)
    file = tmp_path / "e.parquet"
    export_runs([(RunFolder(results / ours.name), ours)], file)
    assert exported_records(file) == [ours]


@pytest.mark.parametrize("name", ["/home/", "/root", "/tmp", "/work"])
def test_committed_records_have_no_absolute_path(name):
    for file in (REPOSITORY / "results" / "measured").rglob("*.parquet"):
        assert name not in "".join(map(record_to_json, exported_records(file))), file.name


def test_settings_for_baselines_that_read_order_are_noted_once(make_record):
    made = [record_by_recipe(make_record, method) for method in ("mean", "cnn3d")]
    made.append(record_by_recipe(make_record, "cnn3d", "sampling=even"))
    (table,) = tables(made, None, {})
    assert [row.label for row in table.rows] == ["cnn3d", "cnn3d (sampling=even)", "mean"]
    note = "baselines that read order: clip_frames=8, sampling=consecutive, spacing=1, test_chunk=8, by the recipe"
    assert note in table.notes
    assert "read order" not in "".join(tables(made[:1], None, {})[0].notes)


def record_by_recipe(make_record, method: str, *changes: str):
    settings = resolve("small", method, changes).as_dict()
    digest = "d" * 64
    made = make_record(
        experiment=Experiment(method, "walkers", "walkers", settings, 0, 0, digest, digest, "none", "small")
    )
    return replace(made, code=code_digest(made.experiment), metrics=[Metrics("standard", "before", *[0.5] * 5, 10, 0)])


def test_test_on_a_few_frames_is_no_repetition_of_the_whole_test(make_record):
    made = [record_by_recipe(make_record, "mean", *changes) for changes in ((), ("test_frames=4",))]
    (table,) = tables(made, None, {})
    assert [row.label for row in table.rows] == ["mean (test_frames=0)", "mean (test_frames=4)"]


def test_show_names_the_settings_for_baselines_that_read_order(make_record):
    text = describe(record_by_recipe(make_record, "cnn3d"), [])
    assert "by the recipe's [ordered], as the baseline reads order: clip_frames 8, sampling consecutive" in text
    assert "[ordered]" not in describe(record_by_recipe(make_record, "mean"), [])
