"""Search the settings in which families of methods differ, by mAP on held-out training identities. The test set is not used.

Each trial is a run in which the share `holdout` of the training identities is left out and then used for validation. optuna
chooses the settings: first those of the recipe, so that tuning never ends below it on these identities; then random ones; after
ten trials those of its tree-structured Parzen estimator (Bergstra et al., 2011). The settings of trial n depend only on n and the
trials before it: an interrupted trial is drawn again, and its run resumes from its checkpoint.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.trial import BaseTrial, TrialState

from baselines.interface.errors import UserError
from benchmarks.atomic import naming, write_atomically
from benchmarks.clips.subsets import hold_out
from benchmarks.data.loading import LoadedDataset
from benchmarks.engine.run import Machine, plan, run
from benchmarks.engine.training import DivergedError
from benchmarks.experiments.code_digest import code_digest
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import ATTACHED, check_method, reads_order
from benchmarks.experiments.recipe_files import as_toml, read_recipe
from benchmarks.experiments.settings import SEARCHED, Settings, change
from benchmarks.paths import results_dir
from benchmarks.progress import show_progress
from benchmarks.runs.checksums import remove_checked
from benchmarks.runs.folder import RunFolder
from benchmarks.seeds import derive

from .single_runs import check_frames, make_machine
from .trial_journal import open_study

HOLDOUT = 0.25  # if the recipe holds out nothing


class Trial(NamedTuple):
    """One finished trial: the settings that it changed, and its mAP on the held-out identities, in [0, 1]."""

    values: dict[str, Any]
    score: float


class TunedMethod(NamedTuple):
    """The trials of one method, the recipe file of the best one, and the arguments of `bench` that run it."""

    method: str
    trials: list[Trial]
    recipe: Path
    arguments: list[str]


def tune_methods(
    methods: Sequence[str],
    dataset: str,
    trials: int,
    *,
    recipe: str | None = None,
    changes: Sequence[str] = (),
    seed: int = 0,
    split: int = 0,
    root: Path | None = None,
    to: Path | None = None,
    workers: int | None = None,
    trial_epochs: int | None = None,
    skip_bad: bool = False,
) -> Iterator[TunedMethod]:
    """Tune several methods, one after the other, and write the recipe of each.

    Args:
        to: the folder for the recipes, METHOD.toml; None: beside the trials.
        trial_epochs: the length of a trial; None: that of a run.
        skip_bad: leave out frames that cannot be decoded; otherwise they are refused.

    Raises:
        UserError: an unknown method, or as `tune` says.
    """
    for method in methods:
        check_method(method)
    if to is not None and (to.suffix == ".toml" or to.is_file()):
        raise UserError(f"--to {to}: name a folder; each method's recipe becomes METHOD.toml in it")
    for method in dict.fromkeys(methods):
        with show_progress() as report:
            experiment, settings, data = plan(
                method,
                dataset,
                recipe=recipe,
                changes=changes,
                seed=seed,
                split=split,
                root=root,
                report=report,
                skip_bad=skip_bad,
            )
            check_frames(data, report)
            machine = make_machine(settings.threads, workers, report)
            of_trials = shortened(settings, settings.epochs if trial_epochs is None else trial_epochs)
            finished, folder = tune(experiment, of_trials, data, trials, results_dir(), machine)
        file = folder / f"tuned-{trials}.toml" if to is None else to / f"{method}.toml"
        write_recipe(file, recipe or data.dataset.recipe, method, settings, finished, of_trials.epochs)
        # The recipe leaves out what a method's name decides: changes of such settings have to be given again.
        again = [text for text in changes if text.partition("=")[0].strip() in ATTACHED]
        arguments = ["run", "--method", method, "--dataset", dataset, "--recipe", str(file)]
        arguments += [word for text in again for word in ("--set", text)]
        yield TunedMethod(method, finished, file, arguments + (["--skip-bad"] if skip_bad else []))


def shortened(settings: Settings, epochs: int) -> Settings:
    """The settings for a training of this many epochs, with the steps of the learning rate at the same fractions of it.

    Short trials tell good settings from bad ones for a fraction of the cost (Li et al., Hyperband, JMLR 18, 2018).
    """
    if epochs == settings.epochs:
        return settings

    def scaled(epoch: int) -> int:
        return max(1, round(epoch * epochs / settings.epochs))

    values: dict[str, Any] = {"epochs": epochs, "lr_step": scaled(settings.lr_step)}
    if settings.milestones != "none":
        values["milestones"] = ",".join(str(scaled(int(epoch))) for epoch in settings.milestones.split(","))
    if settings.warmup_epochs:
        values["warmup_epochs"] = scaled(settings.warmup_epochs)
    return change(settings, values, "--trial-epochs")


def tune(
    experiment: Experiment, settings: Settings, data: LoadedDataset, trials: int, results: Path, machine: Machine
) -> tuple[list[Trial], Path]:
    """Run the trials that are missing. Returns the first `trials` in their order, and their folder, in `results`.

    Raises:
        UserError: too few identities to hold out, none of them seen by two cameras, or another process is tuning the same.
        Stopped: a signal ended a training; the next call resumes the trial.
    """
    settings = change(settings, {"holdout": settings.holdout or HOLDOUT}, "tune")
    held_out = hold_out(data, settings)[1]
    if held_out is None or held_out.pid.nunique() < 2:
        raise UserError(
            f"data set {data.name}: holdout={settings.holdout:g} leaves fewer than 2 identities to validate on"
        )
    if settings.lr == 0 or settings.epochs == 0:
        raise UserError("tune: lr and epochs must be greater than 0")
    base = replace(experiment, settings=settings.recorded())
    folder = RunFolder(results / "tuning" / f"{base.name}-{(code_digest(base) or '')[:8]}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = folder.path / "trials.journal"
    with folder.lock(), naming(journal):
        study = open_study(journal, base.name)
        for interrupted in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(interrupted.number, state=TrialState.FAIL)
        while len(done := _finished_trials(study)) < trials:
            machine.report("tune", len(done), trials, _note(done))
            if not done and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                study.enqueue_trial({key: getattr(settings, key) for key in SEARCHED})
            study.sampler = optuna.samplers.TPESampler(seed=derive("trial", base.name, len(done)) % 2**32)
            trial = study.ask()
            values = draw(trial, settings, reads_order(base.method))
            trial.set_user_attr("values", values)
            study.tell(trial, _validate(base, change(settings, values, "tune"), data, folder.path, machine))
        machine.report("tune", trials, trials, _note(done[:trials]))
    return done[:trials], folder.path


def _note(done: Sequence[Trial]) -> str:
    return f"best mAP {100 * best(done).score:.1f}" if done else "first the recipe's own settings"


def _finished_trials(study: optuna.Study) -> list[Trial]:
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [Trial(trial.user_attrs["values"], float(trial.values[0])) for trial in done]


def draw(trial: BaseTrial, own: Settings, ordered: bool) -> dict[str, Any]:
    """The settings that a trial changes from the recipe's, `own`, within the bounds in SEARCHED.

    Args:
        ordered: for a baseline that reads order. It keeps the recipe's sampling and spacing and gets no shorter clips, so that
            each trial sees neighbouring frames and a gait cycle if the recipe's clips do; chunks at test stay as long as clips. A
            search by accuracy alone may choose clips that show no motion, and then its result says nothing about motion.
    """
    low, high = SEARCHED["lr"]
    lr = trial.suggest_float("lr", own.lr * low, own.lr * high, log=True)
    values: dict[str, Any] = {"lr": lr if lr == own.lr else float(f"{lr:.3g}")}
    frames = {own.clip_frames, *(max(2, round(own.clip_frames * factor)) for factor in SEARCHED["clip_frames"])}
    if ordered:
        frames = {each for each in frames if each >= own.clip_frames}
        values["clip_frames"] = trial.suggest_categorical("clip_frames", sorted(frames))
        if own.test_chunk == own.clip_frames:
            values["test_chunk"] = values["clip_frames"]
        return {**values, "sampling": own.sampling, "spacing": own.spacing}
    values["sampling"] = trial.suggest_categorical("sampling", _recipe_value_first(own.sampling, SEARCHED["sampling"]))
    values["clip_frames"] = trial.suggest_categorical("clip_frames", sorted(frames))
    if values["sampling"] == "consecutive":
        values["spacing"] = trial.suggest_categorical("spacing", _recipe_value_first(own.spacing, SEARCHED["spacing"]))
    return values


def _recipe_value_first(own: Any, others: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys((own, *others)))


def _validate(
    base: Experiment, settings: Settings, data: LoadedDataset, trials_folder: Path, machine: Machine
) -> float:
    """Run one trial; its mAP on the held-out identities, 0 if its loss diverged."""
    experiment = replace(base, settings=settings.recorded())
    folder = RunFolder(trials_folder / experiment.name)
    try:
        record = run(experiment, settings, data, folder, machine, tested=False)
    except DivergedError:
        return 0.0
    remove_checked(folder.weights)  # the record is enough
    metrics = record.find_metrics("validation", "before")
    if metrics is None or metrics.mAP is None:
        raise UserError(
            f"data set {data.name}: no held-out training identity is seen by two cameras, so no trial can be scored"
        )
    return metrics.mAP


def best(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest mAP; of equal ones the first."""
    return max(trials, key=lambda each: each.score)


def write_recipe(
    file: Path, recipe: str, method: str, settings: Settings, trials: Sequence[Trial], epochs: int
) -> None:
    """Write the best trial as a recipe for `bench run --recipe`: every setting, and in the first line how it was chosen.

    Settings that the name of the method decides keep the values of `recipe`. Those of its [ordered] are among the others.

    Args:
        settings: of the runs.
        epochs: of the trials.
    """
    chosen = {**best(trials).values, "tuning_trials": len(trials)}
    kept = {key: value for key, value in read_recipe(recipe).of(method).items() if key in ATTACHED}
    lines = [
        f"# {len(trials)} trials of {epochs} epochs: mAP {100 * best(trials).score:.1f} on held-out training identities, "
        f"{100 * trials[0].score:.1f} with the recipe's own settings.",
        *as_toml(chosen),
        "",
        *as_toml({key: value for key, value in {**settings.as_dict(), **kept}.items() if key not in chosen}),
    ]
    write_atomically(file, "\n".join(lines) + "\n")
