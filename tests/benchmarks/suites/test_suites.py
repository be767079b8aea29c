"""What the suites plan: their rows, and the settings that they try."""

import re
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from baselines.backbones.build import build_backbone, strided
from baselines.interface.errors import UserError
from benchmarks.experiments.settings import KEYS
from benchmarks.reporting.pairing import fits
from benchmarks.reporting.paper_numbers import read
from benchmarks.suites import SUITES
from benchmarks.suites.ablations import BACKBONES_WITH, CHOICES
from benchmarks.suites.claims import CLAIMS
from benchmarks.suites.suite import Choice, Single, experiments


def planned(name, **choice):
    return list(experiments(SUITES.get(name)(), Choice(**choice)))


def test_every_suite_runs_on_walkers():
    for name in SUITES.names():
        for each in planned(name, datasets=("walkers",), seeds=1):
            assert each.experiment.dataset.startswith("walkers")
            assert each.experiment.settings["backbone"] == "small"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.text)
def test_suite_of_a_claim_runs_all_that_it_compares(claim):
    run = planned(claim.suite, datasets=("walkers",), seeds=1)
    assert [arm for arm in claim.arms if not any(fits(arm, claim, each.experiment) for each in run)] == []


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
    trainers = {
        **{name.upper(): (name, name) for name in ("adfdta", "astpn", "cosam", "gltr")},
        "CNN+RNN": ("cnn-rnn", "cnn-rnn"), "QAN": ("qan-grid", "qan"), "RQEN": ("rqen", "qan"), "CSSA+CASE": ("case", "case"),
    }  # fmt: skip
    assert {label.removesuffix(", own trainer"): (each.method, each.recipe) for label, each in own.items()} == (
        {} if dataset == "walkers" else trainers
    )
    plain = {label: each for label, each in asked.items() if not label.endswith(" + AFA")}
    assert len(plain) == 14
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
    assert len(found) == 1 + 2 * (6 + 6 + 6)
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
    assert set(worlds.values()) == {8}
    methods = {each.experiment.method for each in found}
    assert {method for method in methods if not method.endswith("+afa")} < methods
    assert {"mean", "mean+afa", "cnn3d", "cnn3d+afa", "flow", "flow+afa"} < methods


def test_a_suite_that_stops_early_has_whole_comparisons_on_every_data_set():
    found = [each.experiment for each in planned("cues", seeds=2)]
    first, second = found[: len(found) // 2], found[len(found) // 2 :]
    assert {each.seed for each in first} == {0}
    assert [(each.dataset, each.method) for each in first] == [(each.dataset, each.method) for each in second]


def test_new_seeds_follow_those_that_were_seen():
    suite, choice = SUITES.get("table4")(), Choice(("walkers",), seeds=2, first_seed=3)
    assert {each.experiment.seed for each in experiments(suite, choice)} == {3, 4}
    assert " ".join(choice.options) == "--dataset walkers --seeds 2 --first-seed 3"


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
