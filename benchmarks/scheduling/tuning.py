"""A search over what families of methods differ in, by mAP on held-out TRAINING identities; the test set is never looked at.

Each trial is a run with the share `holdout` of the training identities left out, validated on those. optuna chooses: the
recipe's own settings first, so that tuning is never worse on them than not tuning; then at random, and after ten by its
tree-structured Parzen estimator (Bergstra et al., 2011). What trial n draws follows from n and the trials before it: an
interrupted one is drawn again, and its run goes on from its checkpoint.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import BaseTrial, TrialState

from baselines.interface.errors import UserError
from benchmarks.atomic import write_atomically
from benchmarks.clips.subsets import hold_out
from benchmarks.data.loading import LoadedDataset
from benchmarks.engine.run import Machine, run
from benchmarks.engine.training import DivergedError
from benchmarks.experiments.code_digest import code_digest
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import ATTACHED
from benchmarks.experiments.settings import SEARCHED, Settings, change, read_recipe
from benchmarks.runs.records import RunFolder
from benchmarks.seeds import derive

HOLDOUT = 0.25  # where the recipe holds nothing out


class Tried(NamedTuple):
    """One finished trial: what it changed of the recipe's settings, and its mAP on the held-out identities, a fraction."""

    values: dict[str, Any]
    score: float


def tune(
    experiment: Experiment, settings: Settings, data: LoadedDataset, trials: int, place: Path, machine: Machine
) -> tuple[list[Tried], Path]:
    """Run the trials that lack; the first `trials` in their order, and the folder in which they lie, below `place`.

    Raises:
        UserError: too few identities to hold out, none of them seen by two cameras, or another process tunes the same.
        Stopped: a signal ended a training; the trial is gone on with by the next call.
    """
    settings = change(settings, {"holdout": settings.holdout or HOLDOUT}, "tune")
    held_out = hold_out(data, settings)[1]
    if held_out is None or held_out.pid.nunique() < 2:
        raise UserError(
            f"data set {data.name}: holdout={settings.holdout:g} leaves fewer than 2 identities to validate on"
        )
    if settings.lr == 0 or settings.epochs == 0:
        raise UserError("tune: lr and epochs must be above 0; there is nothing to search else")
    base = replace(experiment, settings=settings.recorded())
    folder = RunFolder(place / "tuning" / f"{base.name}-{(code_digest(base) or '')[:8]}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with folder.lock():
        storage = JournalStorage(JournalFileBackend(str(folder.path / "trials.journal")))
        study = optuna.create_study(storage=storage, study_name=base.name, direction="maximize", load_if_exists=True)
        for interrupted in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(interrupted.number, state=TrialState.FAIL)
        while len(done := _finished(study)) < trials:
            machine.report("tune", len(done), trials, _best_so_far(done))
            if not done and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                study.enqueue_trial({key: getattr(settings, key) for key in SEARCHED})
            study.sampler = optuna.samplers.TPESampler(seed=derive("trial", base.name, len(done)) % 2**32)
            trial = study.ask()
            values = draw(trial, settings)
            trial.set_user_attr("values", values)
            study.tell(trial, _validated(base, change(settings, values, "tune"), data, folder.path, machine))
        machine.report("tune", trials, trials, _best_so_far(done[:trials]))
    return done[:trials], folder.path


def _best_so_far(done: Sequence[Tried]) -> str:
    return f"best mAP {100 * best(done).score:.1f}" if done else "first the recipe's own settings"


def _finished(study: optuna.Study) -> list[Tried]:
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [Tried(trial.user_attrs["values"], float(trial.values[0])) for trial in done]


def draw(trial: BaseTrial, own: Settings) -> dict[str, Any]:
    """What a trial changes of the recipe's settings `own`; SEARCHED says within which bounds."""
    low, high = SEARCHED["lr"]
    lr = trial.suggest_float("lr", own.lr * low, own.lr * high, log=True)
    frames = sorted({own.clip_frames, *(max(2, round(own.clip_frames * factor)) for factor in SEARCHED["clip_frames"])})
    sampling = trial.suggest_categorical("sampling", _with(own.sampling, SEARCHED["sampling"]))
    values = {
        "lr": lr if lr == own.lr else float(f"{lr:.3g}"),
        "clip_frames": trial.suggest_categorical("clip_frames", frames),
        "sampling": sampling,
    }
    if sampling == "consecutive":
        values["spacing"] = trial.suggest_categorical("spacing", _with(own.spacing, SEARCHED["spacing"]))
    return values


def _with(own: Any, others: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys((own, *others)))


def _validated(base: Experiment, settings: Settings, data: LoadedDataset, place: Path, machine: Machine) -> float:
    """mAP of one trial on the held-out identities; 0 where its loss ran away."""
    experiment = replace(base, settings=settings.recorded())
    folder = RunFolder(place / experiment.name)
    try:
        record = run(experiment, settings, data, folder, machine, tested=False)
    except DivergedError:
        return 0.0
    folder.weights.unlink(missing_ok=True)  # the record says what came out
    (score,) = (
        row["mAP"] for row in record["metrics"] if (row["protocol"], row["feature"]) == ("validation", "before")
    )
    if score is None:
        raise UserError(
            f"data set {data.name}: no held-out training identity is seen by two cameras; nothing to tune by"
        )
    return float(score)


def best(tried: Sequence[Tried]) -> Tried:
    """The trial with the highest mAP; of equals the first."""
    return max(tried, key=lambda each: each.score)


def write_recipe(file: Path, recipe: str, settings: Settings, tried: Sequence[Tried]) -> None:
    """The chosen trial as a recipe for `bench run --recipe`: every setting, and in its first line how it was chosen.

    What a method's name says about the method's parts is left to the name: those settings stay as `recipe` has them.
    """
    chosen = {**best(tried).values, "tuning_trials": len(tried)}
    kept = {key: value for key, value in read_recipe(recipe).items() if key in ATTACHED}
    lines = [
        f"# {len(tried)} trials: mAP {100 * best(tried).score:.1f} on held-out training identities, "
        f"{100 * tried[0].score:.1f} by the recipe's own settings.",
        *_toml(chosen),
        "",
        *_toml({key: value for key, value in {**settings.as_dict(), **kept}.items() if key not in chosen}),
    ]
    write_atomically(file, "\n".join(lines) + "\n")


def _toml(values: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]
