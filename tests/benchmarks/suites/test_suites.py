"""Suites: the experiments they list, the states of these, and running a suite despite failures."""

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from baselines.backbones.build import build_backbone, strided
from baselines.interface.errors import UserError
from benchmarks.experiments.settings import KEYS
from benchmarks.reporting.paper_numbers import read
from benchmarks.runs import staleness
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Phase
from benchmarks.runs.unfinished import UnfinishedRun, note_early_failure, start_run, unfinished_runs
from benchmarks.scheduling.estimate import estimate_in_turn, estimate_seconds, format_duration
from benchmarks.scheduling.states import states_by_request, states_of
from benchmarks.suites import SUITES
from benchmarks.suites.ablations import BACKBONES_WITH, CHOICES
from benchmarks.suites.suite import Choice, Single, experiments
from slurm.ledger import Ledger, LedgerEntry

TINY = ("--dataset", "walkers:tiny", "--set", "epochs=1")


def planned(name, **choice):
    return list(experiments(SUITES.get(name)(), Choice(**choice)))


def test_every_suite_runs_on_walkers():
    for name in SUITES.names():
        for each in planned(name, datasets=("walkers",), seeds=1):
            assert each.experiment.dataset.startswith("walkers")
            assert each.experiment.settings["backbone"] == "small"


@pytest.mark.parametrize("name", ["table2", "table3", "table4", "table5"])
def test_row_labels_are_the_papers(name):
    suite = SUITES.get(name)()
    printed = read(suite.paper)
    for dataset in suite.datasets:
        labels = {row.label for row in suite.rows(dataset)}
        if suite.not_built:
            labels = {label.removesuffix(" + AFA").removesuffix(", own trainer") for label in labels}
        assert labels | (set(suite.not_built) & set(printed.method)) == set(printed.method[printed.train == dataset])
        assert not labels & set(suite.not_built)


def test_table4():
    suite = SUITES.get("table4")()
    assert len(suite.rows("mars")) == 7
    found = planned("table4", datasets=("mars",), seeds=1)
    assert len(found) == 6
    asked = {each.row.label: each.experiment.settings for each in found}
    assert asked["ResNet-50 + AFA"] | {"lambda": 0.0} == asked["L_tri + L_cls"]
    assert asked["L_tri only"]["classification"] == "none"
    assert asked["ResNet-50"]["backbone"] == "resnet50"
    assert asked["ResNet-50"]["height"] == 256


def test_table2_uses_flow_for_ilidsvid_only():
    ours = [each for each in planned("table2", seeds=2) if each.row.label == "AFA"]
    ilids = [each.experiment for each in ours if each.experiment.dataset == "ilidsvid"]
    assert len(ilids) == 20
    assert {each.method for each in ilids} == {"flow+afa"}
    assert {(each.split, each.test_split) for each in ilids} == {(split, split) for split in range(10)}
    assert {each.experiment.method for each in ours if each.experiment.dataset == "mars"} == {"mean+afa"}


@pytest.mark.parametrize("dataset", ["ilidsvid", "mars", "walkers"])
def test_table2_has_each_system_plain_and_with_afa(dataset):
    asked = {each.row.label: each.experiment for each in planned("table2", datasets=(dataset,), seeds=1)}
    ours = asked.pop("AFA")
    own = {label: asked.pop(label) for label in list(asked) if label.endswith(", own trainer")}
    assert {label: (each.method, each.recipe) for label, each in own.items()} == (
        {} if dataset == "walkers" else {f"{name.upper()}, own trainer": (name, name) for name in ("cosam", "gltr")}
    )
    plain = {label: each for label, each in asked.items() if not label.endswith(" + AFA")}
    assert len(plain) == 13
    assert set(asked) == {*plain, *(f"{label} + AFA" for label in plain)}
    for label, system in plain.items():
        attached = asked[f"{label} + AFA"]
        assert attached.method == f"{system.method}+afa"
        assert attached.settings["classification"] == ours.settings["classification"] == "consensus"
        assert attached.settings["metric"] == system.settings["metric"]
    assert {label for label, each in plain.items() if each.settings["classification"] == "frames"} == {
        "QAN", "RQEN", "CSSA+CASE",
    }  # fmt: skip
    assert {label for label, each in plain.items() if each.settings["metric"] == "xqda"} == {"CNN+XQDA"}


def test_table3_shares_the_experiments_of_table2():
    two, three = (
        {each.row.label: each.experiment for each in planned(name, datasets=("walkers",), seeds=1)}
        for name in ("table2", "table3")
    )
    assert list(three) == ["STA", "STA + AFA", "COSAM", "COSAM + AFA", "GLTR", "GLTR + AFA", "AFA"]
    assert three.items() <= two.items()


def test_planning_table2_imports_no_torch(results):
    code = (
        "import sys; from benchmarks.suites import SUITES; from benchmarks.suites.suite import Choice, experiments; "
        "list(experiments(SUITES.get('table2')(), Choice(('walkers',), 1))); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_table5_goes_both_ways():
    places = {(each.experiment.dataset, each.experiment.test) for each in planned("table5", seeds=1)}
    assert places == {("mars", "dukev"), ("dukev", "mars")}
    drawn = planned("table5", datasets=("walkers:tiny",), seeds=1)
    assert {(each.experiment.dataset, each.experiment.test) for each in drawn} == {
        ("walkers:tiny", "walkers@2:tiny"),
        ("walkers@2:tiny", "walkers:tiny"),
    }


def test_factors():
    settings = [each.experiment.settings for each in planned("factors", datasets=("walkers",), seeds=1)]
    asked = {(each["classification"], each["sigma"], each["lambda"]) for each in settings}
    assert len(asked) == 8
    assert ("consensus", 0.025, 0.1) in asked
    assert ("pooled", 0.0, 0.0) in asked


def test_factors_share_the_plain_baseline_with_table4():
    """AFA without its three parts is the baseline, which is not trained a second time under another name."""
    names = [
        {each.experiment.name for each in planned(suite, datasets=("walkers",), seeds=1)}
        for suite in ("factors", "table4")
    ]
    assert {name for name in names[0] & names[1] if "+afa" not in name}


@pytest.mark.parametrize(("name", "runs"), [("sources", 8), ("order", 6), ("families", 5)])
def test_hypothesis_by_test_settings_alone(name, runs):
    """What is compared with a baseline on ordered frames differs from it in one setting."""
    found = planned(name, datasets=("walkers",), seeds=1)
    assert len(found) == runs
    by_method = {}
    for each in found:
        by_method.setdefault(each.experiment.method, []).append(each.experiment.settings)
    for several in by_method.values():
        differences = [{key for key in one if one[key] != two[key]} for one, two in combinations(several, 2)]
        assert differences in ([], [{"shuffle"}], [{"test_frames"}])


def test_distill_compares_parts_under_one_noise():
    found = planned("distill", datasets=("walkers",), seeds=1)
    assert len(found) == 1 + 2 * (6 + 6 + 2)
    (reference, *noisy) = (each.experiment for each in found)
    assert reference.settings["sigma"] == 0
    sigmas = {}
    for each in noisy:
        sigmas.setdefault((each.settings["granularity"], each.settings["sigma"]), []).append(each.method)
    assert all(sorted(methods) == ["mean+afa", "mean+afa-motion"] for methods in sigmas.values())
    assert {sigma for granularity, sigma in sigmas if granularity == "clip"} == {0.025, 0.05, 0.1, 0.2, 0.5, 1.0}


def test_cues_covers_both_dials():
    found = planned("cues", seeds=1)
    worlds = Counter(each.experiment.dataset for each in found)
    assert set(worlds) == {f"cues:{share}{hard}" for share in (0, 25, 50, 75, 100) for hard in ("", "-hard")}
    assert set(worlds.values()) == {6}
    methods = {each.experiment.method for each in found}
    assert {method for method in methods if not method.endswith("+afa")} < methods
    assert {"mean", "mean+afa", "cnn3d", "cnn3d+afa"} < methods


@pytest.fixture
def _any_code(monkeypatch):
    monkeypatch.setattr(staleness, "code_digest", lambda _: "this")


@pytest.mark.usefixtures("_any_code")
def test_states(make_record):
    one, two, three, four, five, six = (each for each in planned("table4", datasets=("walkers",), seeds=1))
    here = {"walkers/0": {"today"}}

    def measured(each, data, code="this"):
        return make_record(
            experiment=replace(each.experiment, data=data, test_data=data, weights="w"), code=code, phases={}
        )

    found = [measured(one, "today"), measured(two, "yesterday"), measured(three, "today", "other")]
    begun = [
        UnfinishedRun(RunFolder(None), four.experiment, "failed", "out of memory"),
        UnfinishedRun(RunFolder(None), five.experiment, "running", "epoch 3 of 40"),
    ]
    words = [
        str(state) for state in states_of([one, two, three, four, five, six], states_by_request(found, begun, here), {})
    ]
    assert words == [
        "done",
        "stale: other data: walkers",
        "stale: made by other code",
        "failed: out of memory",
        "running: epoch 3 of 40",
        "not run",
    ]
    again = [*found, measured(two, "today")]
    assert [state.name for state in states_of([two], states_by_request(again, [], here), {})] == ["done"]
    assert str(states_of([six], {}, {"walkers": "no folder"})[0]) == "data set absent: no folder"


def test_time_left_from_recorded_speed(make_record):
    mean, qan = planned("table4", datasets=("walkers",), seeds=1)[:2]
    settings = {**mean.experiment.settings, "epochs": 10, "clip_frames": 5}
    ran = make_record(
        experiment=replace(mean.experiment, settings=settings),
        # 20 clips an epoch, 10 epochs of 5 frames: 1,000 frames at 100 a second; 300 test frames at 150
        phases={"train": Phase(10, 1000, 100), "extract": Phase(2, 300, 150)},
    )
    # 40 epochs of 20 clips of 7 frames = 5,600 frames: 56 s, and 2 s of extraction
    assert estimate_seconds(mean.experiment, [ran]) == pytest.approx(58)
    assert estimate_seconds(qan.experiment, [ran]) == pytest.approx(58)  # another baseline on the same backbone
    bigger = replace(mean.experiment, settings={**mean.experiment.settings, "backbone": "resnet50"})
    assert estimate_seconds(bigger, [ran]) is None
    one_frame = replace(mean.experiment, settings={**mean.experiment.settings, "test_frames": 1})
    assert estimate_in_turn([mean.experiment, one_frame], [ran]) == pytest.approx([58, 2])  # one training
    assert estimate_in_turn([one_frame], [ran], done=[mean.experiment]) == pytest.approx([2])
    assert [format_duration(each) for each in (45, 750, 12_000, 190_000)] == ["45 s", "12 min", "3 h 20 min", "2 d 4 h"]


def test_time_left_of_a_running_experiment(make_record):
    each, like = planned("table4", datasets=("walkers",), seeds=2)[::6]
    settings = each.experiment.settings
    frames = (
        100 * settings["epochs"] * settings["clip_frames"]
    )  # 100 clips an epoch, at half as many frames/s: 2 s an epoch
    phases = {"train": Phase(1.0, frames, 50 * settings["clip_frames"]), "extract": Phase(1.0, 0, 1.0)}
    done = make_record(experiment=like.experiment, phases=phases)
    begun = UnfinishedRun(RunFolder(None), each.experiment, "running", "epoch 10 of 40", 10 / 40)
    (state,) = states_of([each], states_by_request([done], [begun], {}), {})
    assert state.detail == "epoch 10 of 40, about 60 s left"
    (alone,) = states_of([each], states_by_request([], [begun], {}), {})
    assert alone.detail == "epoch 10 of 40"
    (by_itself,) = states_of([each], states_by_request([], [begun._replace(left=60.0)], {}), {})
    assert by_itself.detail == "epoch 10 of 40, about 60 s left"


def test_time_left_from_the_last_epoch(results):
    (each,) = planned("fig3b", datasets=("walkers:tiny",), seeds=1)[:1]
    folder = RunFolder(results / each.experiment.name)
    folder.path.mkdir(parents=True)
    start_run(folder, each.experiment, "code")
    lines = [
        f"2026-11-25 10:2{minute}:30 epoch {epoch}  iteration 9  loss 1\n" for minute, epoch in ((1, 1), (5, 2), (8, 3))
    ]
    for shown, left in ((3, 3 * 60 * (each.experiment.settings["epochs"] - 3)), (1, None)):
        folder.log.write_text("2026-11-25 10:20:30 begins\n" + "".join(lines[:shown]))
        (found,) = unfinished_runs(results)
        assert found.left == left


def test_suite_runs_only_what_is_missing(bench, results):
    first = bench("suite", "run", "--seeds", 1, "fig3b", *TINY)
    assert first.status == 0, first.err
    assert "fig3b: 6 of 6 done (0 of them before), 0 failed, 0 skipped" in first.out
    assert "`bench table fig3b --dataset walkers:tiny --seeds 1 --set epochs=1` shows them" in first.out
    written = {file: file.stat().st_mtime_ns for file in results.glob("*/record.json")}
    assert len(written) == 6
    assert "6 of 6 done (6 of them before)" in bench("suite", "run", "fig3b", *TINY, "--seeds", 1).out
    assert "6 experiments, 6 done, 0 to run" in bench("plan", "fig3b", *TINY, "--seeds", 1).out
    assert {file: file.stat().st_mtime_ns for file in results.glob("*/record.json")} == written


def test_plan_counts_gpu_hours(bench, results):
    assert bench("run", "--method", "mean+afa", *TINY).status == 0
    assert "GPU" not in bench("plan", "fig3b", *TINY, "--seeds", 1).out
    (file,) = results.glob("*/record.json")
    record = json.loads(file.read_text())
    record["environment"]["gpu"] = "a GPU"
    record["phases"]["train"]["per_second"] /= 1e6
    file.write_text(json.dumps(record))
    said = bench("plan", "fig3b", *TINY, "--seeds", 1).out
    hours = 5 * record["phases"]["train"]["items"] / record["phases"]["train"]["per_second"] / 3600
    found = re.search(r"5 to run: about .* one after the other on a GPU, (\S+) GPU hours", said)
    assert float(found[1]) == pytest.approx(hours, rel=0.01)


def test_folder_of_recipes(tmp_path):
    for number, name in enumerate(("mean", "qan", "lstm-changes", "cnn3d", "qan+afa"), 1):
        (tmp_path / f"{name}.toml").write_text(f'extends = "small"\nlr = {number}e-4\n')

    def rates(suite):
        made = experiments(suite, Choice(("walkers",), 1, recipe=str(tmp_path)))
        return [each.experiment.settings["lr"] for each in made]

    assert [rates(Single(name)) for name in ("mean", "qan+afa")] == [[1e-4], [5e-4]]
    with pytest.raises(UserError, match=r"no mean\+afa\.toml in it"):  # nobody has searched for it
        rates(Single("mean+afa"))
    with pytest.raises(UserError, match=r"no flow\.toml in it; `bench tune`"):
        rates(SUITES.get("families")())
    (tmp_path / "flow.toml").write_text('extends = "small"\n')
    assert rates(SUITES.get("families")())[:4] == [1e-4, 2e-4, 3e-4, 4e-4]


def test_folder_named_like_a_recipe(tmp_path, monkeypatch):
    for name in ("small", "mars"):
        (tmp_path / name).mkdir()
    usual = [each.arguments for each in experiments(Single("mean"), Choice(("mars",), 1))]
    monkeypatch.chdir(tmp_path)
    assert [each.arguments for each in experiments(Single("mean"), Choice(("mars",), 1))] == usual
    assert len(planned("table4", datasets=("mars",), seeds=1, quick=True)) == 6
    assert len(planned("table4", datasets=("walkers",), seeds=1, recipe="small")) == 6


def test_early_failure_is_dropped_when_the_run_begins(results):
    each = planned("table3", seeds=1)[-1]
    note_early_failure(results, each.experiment, "no such weights")
    assert states_by_request([], unfinished_runs(results), {})[each.experiment.request_hash].name == "failed"
    begun = replace(each.experiment, data="d")
    start_run(RunFolder(results / begun.name), begun, "code")
    assert [found.state for found in unfinished_runs(results)] == ["stopped"]


def test_suite_that_trains_nothing(bench):
    for verb in ("show", "run"):
        answer = bench("suite", verb, "table1")
        assert (answer.status, answer.out) == (2, "")
        assert "trains nothing" in answer.err


def test_export_and_table_from_the_file(bench, results, tmp_path):
    assert bench("suite", "export", "fig3b", tmp_path / "none.parquet", *TINY, "--seeds", 1).status == 2
    bench("suite", "run", "fig3b", *TINY, "--seeds", 1)
    bench("run", "--method", "max", "--dataset", "walkers:tiny", "--epochs", 0)
    file = tmp_path / "fig3b.parquet"
    assert "6 of 6 runs" in bench("suite", "export", "fig3b", file, *TINY, "--seeds", 1).out
    asked = ("table", "fig3b", *TINY, "--seeds", 1)
    assert bench(*asked, "--from", file).out == bench(*asked).out
    assert "undecided" in bench("verdict", "--from", file, "--from", file).out


def test_suite_continues_after_a_failure(bench, results, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from baselines.interface.registry import register\n"
        "from benchmarks.suites.suite import Row, Suite\n"
        '@register("mine")\n'
        "class Mine(Suite):\n"
        '    """Two rows, of which one cannot run."""\n'
        "    def rows(self, dataset):\n"
        '        return (Row("bad", "mean", ("weights=nowhere.pth",)), Row("good", "mean"))\n'
    )
    assert "mine         Two rows, of which one cannot run." in bench("suite", "list", "--plugin", file).out
    answer = bench("suite", "run", "mine", *TINY, "--seeds", 1, "--plugin", file)
    assert answer.status == 1
    assert "1 of 2 done (0 of them before), 1 failed, 0 skipped" in answer.out
    assert "failed: walkers:tiny: bad (mean), seed 0: " in answer.out
    assert "nowhere.pth" in answer.out
    assert len(list(results.glob("*/record.json"))) == 1
    # It failed before its weights and thus its name were known. The failure is remembered, and the run is tried again.
    asked = ("mine", *TINY, "--seeds", 1, "--plugin", file)
    assert re.search(r"failed: .*nowhere\.pth", bench("plan", *asked).out)
    assert re.search(r"bad \(mean\) +0/1 +failed", bench("table", *asked).out)
    again = bench("suite", "run", *asked)
    assert "1 of 2 done (1 of them before), 1 failed" in again.out
    assert len(list(results.iterdir())) == 2


# Settings in docs/paper-notes.md that `choices` does not try, with the reason.
ELSEWHERE = {
    **dict.fromkeys(("target", "shuffle"), "in other suites: matrix, controls"),
    **dict.fromkeys(("flow", "flow_weights"), "flow baselines only"),
    "dropout": "recurrent baselines only",
    "statistics_shares": "several processes only",
    **dict.fromkeys(("height", "width", "weights", "backbone", "clip_frames"), "another network, or the data set's"),
    **dict.fromkeys(("epochs", "lr", "lr_step", "lr_gamma"), "printed in the paper; the search of `bench tune`"),
    **dict.fromkeys(
        ("optimizer", "backbone_lr", "warmup_epochs", "gradient_limit"), "of other trainers than the paper's"
    ),
    **dict.fromkeys(("holdout", "tuning_trials", "precision", "threads"), "how a run is carried out, not what it is"),
}


def test_choices_cover_the_notes():
    notes = (Path(__file__).parents[3] / "docs" / "paper-notes.md").read_text()
    named = {key for said in re.findall(r"\*Setting:\*([^;.]*)", notes) for key in re.findall(r"`(\w+)`", said)} & set(
        KEYS
    )
    tried = {change.partition("=")[0] for changes in CHOICES for change in changes}
    assert named - tried == set(ELSEWHERE) & named
    assert not tried & set(ELSEWHERE)
    # None repeats the chosen value, and the backbone of drawn data lacks a setting of ResNets.
    assert len(planned("choices", seeds=1)) == len(CHOICES) + 1
    assert len(planned("choices", datasets=("walkers",), seeds=1)) == len(CHOICES) + 1 - len(BACKBONES_WITH)
    assert sorted(BACKBONES_WITH["last_stride=2",]) == strided()


@pytest.mark.parametrize("choice", [{}, {"datasets": ("walkers",)}, {"quick": True}])
def test_choices_can_be_built(choice):
    asked = [each.experiment.settings for each in planned("choices", seeds=1, **choice)]
    for backbone, last_stride in {(settings["backbone"], settings["last_stride"]) for settings in asked}:
        build_backbone(backbone, "none", last_stride)


def test_submitted_experiments_are_left_alone(bench, results):
    these = planned("fig3b", datasets=("walkers:tiny",), seeds=1, changes=("epochs=1",))
    asked = [each.experiment.request_hash for each in these]
    ledger = Ledger(results)
    with ledger.lock():
        ledger.add(
            LedgerEntry(key, key, str(job), "local", "batches/x", "2026-01-01", "far") for job, key in enumerate(asked)
        )
    answer = bench("suite", "run", "fig3b", *TINY, "--seeds", 1)
    assert "0 of 6 done (0 of them before), 0 failed, 6 skipped" in answer.out
    assert "seed 0: queued: on far: only that machine knows" in answer.out
    assert not list(results.glob("*/record.json"))
    assert "queued: on far" in bench("plan", "fig3b", *TINY, "--seeds", 1).out


def test_missing_data_set_is_skipped(bench):
    answer = bench("suite", "run", "table3", "--seeds", 1)
    assert answer.status == 1
    assert "9 skipped" in answer.out
    assert "skipped: dukev: AFA (mean+afa), seed 0: data set absent: data set dukev: give --root DIR" in answer.out
    plan = bench("plan", "table3", "--seeds", 2).out
    assert plan.count("give --root DIR, or set BENCH_DATA") == 1  # once for all that lack it
    assert len(re.findall(r"data set absent( +\(\d+\.\d h\))?\n", plan)) == 2 * 9


def test_stopped_suite(results):
    command = [sys.executable, "-m", "benchmarks.cli", "suite", "run", "table4", *TINY[:2], "--set", "epochs=200"]
    with subprocess.Popen(
        [*command, "--seeds", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as suite:
        for line in suite.stderr:
            if "train: " in line:
                break
        suite.send_signal(signal.SIGTERM)
        out, err = suite.communicate(timeout=60)
    assert suite.returncode == 130, err
    assert "table4: 0 of 6 done" in out
    assert [begun.state for begun in unfinished_runs(results)] == ["stopped"]
    assert (unfinished_runs(results)[0].folder.checkpoint).exists()
