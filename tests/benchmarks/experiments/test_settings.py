"""Recipes, what a method's name sets, and `--set key=value`."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from afa.losses import batch_hard_triplet
from baselines.interface.errors import UserError
from benchmarks.experiments.methods import split_method
from benchmarks.experiments.recipe_files import recipe_names, recipe_summaries
from benchmarks.experiments.settings import KEYS, changed_from_recipe, from_dict, meanings, resolve
from benchmarks.runs.exchange import exported_records


def test_paper_recipe_is_section_3_3():
    settings = resolve("mars", "mean+afa").as_dict()
    paper = {
        "backbone": "resnet50", "height": 256, "width": 128, "clip_frames": 7, "identities": 8, "clips": 4,
        "epochs": 200, "lr": 1e-4, "lr_step": 50, "lr_gamma": 0.1, "weight_decay": 1e-5, "sigma": 0.025, "lambda": 0.1,
        "classification": "consensus", "target": "coherence", "precision": "float32", "metric": "euclidean",
    }  # fmt: skip
    assert {key: settings[key] for key in paper} == paper
    assert resolve("dukev", "mean+afa").clip_frames == 9


@pytest.mark.parametrize(
    ("recipe", "length"), [("paper", 8), ("small", 8), ("dukev", 9), ("mars", 28), ("ilidsvid", 28), ("prid2011", 28)]
)
def test_baselines_that_read_order_see_neighbouring_frames(recipe, length):
    for method in ("cnn3d", "lstm", "flow+afa", "flow-only+afa-motion"):
        settings = resolve(recipe, method)
        assert (settings.sampling, settings.spacing) == ("consecutive", 1)
        assert settings.clip_frames == settings.test_chunk == length
    assert resolve(recipe, "mean+afa").sampling == resolve(recipe, "attention").sampling == "restricted"


@pytest.mark.parametrize(
    ("recipe", "clips"), [("gao-nevatia", ("consecutive", 4)), ("ste-nvan-baseline", ("padded", 8))]
)
def test_published_recipes_give_all_baselines_their_authors_clips(recipe, clips):
    for method in ("mean", "lstm"):
        settings = resolve(recipe, method)
        assert (settings.sampling, settings.clip_frames, settings.test_chunk) == (*clips, clips[1])


@pytest.mark.parametrize(
    ("recipe", "clips", "epochs", "steps"),
    [
        ("gltr", (16, 1), 501, [120, 240, 360, 480]),
        ("cosam", (4, 1), 800, [200, 400, 600]),
        ("ap3d", (4, 8), 240, [60, 120, 180]),
        ("sinet", (4, 1), 160, [40, 80, 120]),
        ("tks", (8, 4), 150, [40, 80, 120]),
        ("nvan", (8, 1), 200, [50, 100, 150]),
    ],
)
def test_published_recipes_have_their_authors_schedules(recipe, clips, epochs, steps):
    for method in ("mean", "lstm", recipe):
        settings = resolve(recipe, method)
        assert (settings.clip_frames, settings.spacing) == clips
        assert settings.epochs == epochs
        assert (settings.schedule, settings.lr_gamma) == ("step", 0.1)
        assert list(range(settings.lr_step, epochs, settings.lr_step)) == steps


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("psta", (8, 8, 8, 4, 500, "adam", 3.5e-4, "milestones", "70,140,210,310,410", 0.3, 10, 0.01, 0.3, 0.1)),
        ("clip-reid", (8, 1, 4, 4, 60, "adam", 5e-6, "milestones", "30,50", 0.1, 10, 0.1, 0.3, 0.1)),
    ],
)
def test_published_recipes_with_warm_up(recipe, expected):
    keys = (
        *("clip_frames", "spacing", "identities", "clips", "epochs", "optimizer", "lr", "schedule", "milestones"),
        *("lr_gamma", "warmup_epochs", "warmup_start", "margin", "label_smoothing"),
    )
    for method in ("mean", "psta"):
        settings = resolve(recipe, method).as_dict()
        assert tuple(settings[key] for key in keys) == expected


@pytest.mark.parametrize(
    ("recipe", "method", "expected"),
    [
        ("cnn-rnn", "cnn-rnn", (56, 40, 16, "consecutive", 1000, 0.0, 5.0, 0.5, 2.0)),
        ("astpn", "astpn", (56, 40, 16, "consecutive", 600, 0.0, 5.0, 0.5, 3.0)),
        ("qan", "rqen", (224, 224, 8, "restricted", 200, 2e-4, 0.0, 1.0, 0.6)),
        ("case", "case", (256, 128, 8, "consecutive", 30, 5e-4, 0.0, 0.0, 0.0)),
    ],
)
def test_recipes_of_trainers_on_pairs(recipe, method, expected):
    keys = (
        *("height", "width", "clip_frames", "sampling", "epochs", "weight_decay", "gradient_limit"),
        *("triplet_weight", "margin"),
    )
    for each in (method, "lstm"):
        settings = resolve(recipe, each).as_dict()
        assert tuple(settings[key] for key in keys) == expected
        assert (settings["optimizer"], settings["lr"], settings["clips"]) == ("sgd", 1e-3, 2)
        assert settings["gradient_limit_by"] == ("value" if settings["gradient_limit"] else "norm")


def test_rates_of_trainers_on_pairs():
    """Constant, but of CASE's backbone a tenth after 20 epochs."""
    for recipe in ("cnn-rnn", "astpn", "qan"):
        settings = resolve(recipe, "mean")
        assert (settings.schedule, settings.milestones, settings.warmup_epochs) == ("milestones", "none", 0)
    case = resolve("case", "case")
    assert (case.schedule, case.lr_step) == ("step", 1)
    assert case.lr_gamma**20 == pytest.approx(0.1, rel=1e-3)


def test_qans_triplet_loss_is_half_the_hinge_of_squared_distances():
    """Its code: max(0, |a - p|^2 - |a - n|^2 + 1.2) / 2 of unit vectors."""
    settings = resolve("qan", "qan-grid")
    vectors = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 2.0], [0.0, 5.0]])
    # Unit vectors (0.6, 0.8) and (0, 1), each twice: positives at 0, negatives at a squared distance of 0.36 + 0.04.
    ours = batch_hard_triplet(vectors, torch.tensor([0, 0, 1, 1]), settings.margin, settings.triplet_distance)
    assert ours.item() == pytest.approx((0 - 0.4 + 1.2) / 2)


def test_cosams_trainer_is_gao_and_nevatias_on_larger_images():
    """Both released codes have the same transforms, classifier and test; COSAM's last stride is 1."""
    theirs, ours = (resolve(name, "cosam").as_dict() for name in ("gao-nevatia", "cosam"))
    assert {key: (theirs[key], ours[key]) for key in theirs if theirs[key] != ours[key]} == {
        "last_stride": (2, 1), "height": (224, 256), "width": (112, 128),
    }  # fmt: skip


def test_new_settings_leave_earlier_runs_their_names():
    """A record from before has none of them; `paper` states their defaults, and the calibrated trainers differ."""
    for method in ("mean", "attention"):
        recorded = resolve("paper", method).recorded()
        assert not {"classifier", "crop_from", "augment", "test_clips", "tracklets"} & set(recorded)
        assert from_dict(recorded) == resolve("paper", method)


def test_calibrated_trainers():
    """What the released code of both trainers does, as docs/paper-notes.md says."""
    theirs = {
        "gao-nevatia": ("default", "source", "frame", "filled", "distinct", "euclidean", "resnet50"),
        "ste-nvan-baseline": ("small", "frame", "clip", "own", "independent", "cosine", "resnet50-linear-stem"),
    }
    for recipe, values in theirs.items():
        settings = resolve(recipe, "mean").as_dict()
        keys = ("classifier", "crop_from", "augment", "test_clips", "tracklets", "metric", "backbone")
        assert tuple(settings[key] for key in keys) == values


def test_set_overrides_ordered_settings():
    assert resolve("small", "lstm", ["sampling=even", "clip_frames=5"]).clip_frames == 5


@pytest.mark.parametrize("recipe", recipe_names())
def test_recipes_are_complete(recipe):
    assert set(resolve(recipe, "mean").as_dict()) == set(KEYS)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("qan", {"classification": "pooled", "sigma": 0.0, "lambda": 0.0, "target": "coherence"}),
        ("qan+afa", {"classification": "consensus", "sigma": 0.025, "lambda": 0.1, "target": "coherence"}),
        ("qan+afa-motion", {"classification": "consensus", "sigma": 0.025, "lambda": 0.1, "target": "motion"}),
    ],
)
def test_method_name_sets_parts(method, expected):
    settings = resolve("small", method).as_dict()
    assert {key: settings[key] for key in expected} == expected


def test_set_overrides_method_name():
    settings = resolve("small", "mean", ["classification=consensus", "sigma=0.5", "lambda=2"])
    assert (settings.classification, settings.sigma, settings.lambda_) == ("consensus", 0.5, 2.0)


def test_number_where_a_text_is_expected():
    assert resolve("small", "mean", ["milestones=30"]).milestones == "30"
    assert resolve("small", "mean", ["milestones=30,50"]).milestones == "30,50"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sigm=1", "unknown setting 'sigm'; did you mean 'sigma'"),
        ("epochs=many", "epochs takes a whole number, not 'many'"),
        ("epochs=1.5", "epochs takes a whole number"),
        ("epochs=true", "epochs takes a whole number"),
        ("sampling=random", "sampling must be one of restricted, padded, consecutive, even"),
        ("flip=2", "flip must be from 0 to 1"),
        ("sigma=-1", "sigma must be from 0"),
        ("clips=1", "clips must be from 2"),
        ("identities=1", "identities must be from 2"),
        ("sigma", "write key=value"),
        ("milestones=soon", "milestones are epochs, such as 30,50, or none, not 'soon'"),
        ("milestones=30.5", "milestones are epochs"),
        ("warmup_start=0", "warmup_start must be from 1e-06"),
        ("lr=0.1 # or 0.2", "lr"),
        ("lr=0.1, value=0.2", "lr"),
        ("lr=nan", "lr must be from 0 to 1e"),
        ("matcher=nearest-frame", "no matcher 'nearest-frame'; did you mean 'nearest-frames'"),
    ],
)
def test_wrong_change_is_named(change, message):
    with pytest.raises(UserError, match=rf"setting {change}.*{message}|{message}"):
        resolve("small", "mean", [change])


def test_unknown_recipe_or_attachment():
    with pytest.raises(UserError, match="did you mean 'small'"):
        resolve("smal", "mean")
    for method in ("mean+affa", "mean+", "mean+afa+afa"):
        with pytest.raises(UserError, match="BASELINE\\+afa"):
            split_method(method)


def test_settings_survive_a_record():
    settings = resolve("small", "qan+afa", ["epochs=2"])
    assert from_dict(settings.as_dict()) == settings


def test_changed_from_recipe():
    for method in ("mean", "qan+afa", "lstm+afa-motion"):
        assert changed_from_recipe("small", method, resolve("small", method).as_dict()) == {}
    settings = resolve("small", "mean", ["epochs=0", "sigma=0.025"]).as_dict()
    assert changed_from_recipe("small", "mean", settings) == {"epochs": 0, "sigma": 0.025}
    assert changed_from_recipe("mine", "mean", settings) is None


def test_settings_and_recipes_are_described():
    said = meanings()
    assert list(said) == list(KEYS)
    assert [key for key, meaning in said.items() if not meaning.replace(" | ", "").strip()] == []
    assert said["target"].startswith("coherence | motion; ")
    assert [name for name, summary in recipe_summaries().items() if len(summary) < 10] == []


def test_new_settings_leave_the_names_of_earlier_runs_alone():
    """A committed record names the run that today's code would start with the same settings."""
    records = exported_records(Path(__file__).parents[3] / "results" / "measured" / "cues.parquet")
    assert records
    for record in records:
        again = replace(record.experiment, settings=from_dict(record.experiment.settings).recorded())
        assert again.name == record.name
        assert again.request_hash == record.experiment.request_hash
        assert again.training_hash == record.experiment.training_hash
