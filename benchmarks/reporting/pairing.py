"""Which runs a claim compares: for each of its arms, runs of the same seeds and splits that differ only in what it is about."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from benchmarks.experiments.code_digest import same_numbers
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import ATTACHED, baseline
from benchmarks.experiments.settings import SEARCHED, resolve
from benchmarks.runs.finished import FinishedRun
from benchmarks.suites.claims import Arm, Claim

from .data_versions import Versions, data_versions
from .provenance import tuning_trials

# The settings of clips, which two baselines may have of their own, because each needs other clips.
CLIPS = {"sampling", "spacing", "clip_frames", "test_chunk"}
NOT_RUN = "not run"  # how the text begins that says which arm has no runs
Repetitions = dict[tuple[int, int], FinishedRun]  # the runs of an arm by split and seed


def most_tuned_runs(claim: Claim, runs: Sequence[FinishedRun]) -> list[list[FinishedRun]] | str:
    """The runs of each arm, as `paired_runs` gives them, or a text that says what is missing.

    If the claim needs tuning, all arms have the same number of trials of `bench tune`: the highest that all of them have. If
    there is no such number, their numbers differ.
    """
    trials = {tuning_trials(run.experiment.settings) for run in runs if "tuning" in claim.needs}
    for count in sorted(trials, reverse=True):
        arms = paired_runs(claim, [run for run in runs if tuning_trials(run.experiment.settings) == count])
        if not isinstance(arms, str):
            return arms
    return paired_runs(claim, runs)


def paired_runs(claim: Claim, runs: Sequence[FinishedRun]) -> list[list[FinishedRun]] | str:
    """The runs of each arm, paired by seed and split, in the context with the most pairs; or a text that says what is missing.

    A context is everything that the arms must share: data, initial weights, processor, the settings that are not under test,
    and, within one baseline, the code (two baselines differ in their own files). Two baselines may have clips, attributes and
    RAFT weights of their own, the same in all runs of an arm.

    Returns:
        A list for each arm, in the claim's order. Place i of each list has the same seed and split. Every split has the same
        seeds; if no seed ran on all splits, every split has one.
    """
    free, versions = _free(claim), data_versions(run.experiment for run in runs)
    contexts: dict[str, dict[int, dict[str, Repetitions]]] = {}
    for run in runs:
        experiment, read = run.experiment, versions(run.experiment)
        for number, arm in enumerate(claim.arms):
            if fits(arm, claim, experiment):
                chosen_for_it = {key: experiment.settings.get(key) for key in sorted(free)}
                own = json.dumps([read.attributes, read.flow_weights, chosen_for_it])
                arms = contexts.setdefault(_context(run, claim, free, read), {})
                arms.setdefault(number, {}).setdefault(own, {})[experiment.split, experiment.seed] = run
    best: list[list[FinishedRun]] = []
    newest = ""
    numbers = range(len(claim.arms))
    for arms in contexts.values():
        chosen = {number: max(groups.values(), key=number_and_age) for number, groups in arms.items()}
        keys = complete(set.intersection(*(set(chosen.get(number, {})) for number in numbers)))
        finished = max(number_and_age(each)[1] for each in chosen.values())
        if (len(keys), finished) > (len(best[0]) if best else 0, newest):
            best, newest = [[chosen[number][key] for key in keys] for number in numbers], finished
    if best and best[0]:
        return best
    missing = [claim.arms[number] for number in numbers if not any(number in arms for arms in contexts.values())]
    if missing:
        return f"{NOT_RUN}: {', '.join(' '.join((arm.method, *arm.changes)) for arm in missing)}"
    return "no seed has runs on all sides with the same settings, weights, code and processor"


def number_and_age(runs: Repetitions) -> tuple[int, str]:
    """How many runs there are, and when the newest was finished: the larger is preferred."""
    return len(runs), max(run.record.finished.isoformat() for run in runs.values())


def complete(keys: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs of split and seed whose seed ran on every split; if there is no such seed, one pair for each split."""
    splits = {split for split, _ in keys}
    everywhere = [key for key in sorted(keys) if all((split, key[1]) in keys for split in splits)]
    return everywhere or [min(key for key in keys if key[0] == split) for split in sorted(splits)]


def fits(arm: Arm, claim: Claim, experiment: Experiment) -> bool:
    """Whether an experiment belongs to an arm.

    It must have the arm's method, the settings that this name implies, and the arm's values of the settings that the claim
    varies. Its frames must be in order, unless the claim varies that: runs on shuffled frames are controls.
    """
    if arm.method != experiment.method:
        return False
    values = _values(arm)
    return all(experiment.settings.get(key) == values[key] for key in {*ATTACHED, "shuffle", *claim.varied})


@cache
def _values(arm: Arm) -> dict[str, Any]:
    """The settings that an arm's name and changes give; the others are the paper's."""
    return resolve("paper", arm.method, arm.changes).as_dict()


def _free(claim: Claim) -> set[str]:
    """The settings in which the arms may differ although the claim is not about them."""
    several = len({baseline(arm.method) for arm in claim.arms}) > 1
    return (CLIPS if several else set()) | ({*SEARCHED, "tuning_trials"} if "tuning" in claim.needs else set())


def _context(run: FinishedRun, claim: Claim, free: set[str], read: Versions) -> str:
    """A text that is equal for runs of one context; see `paired_runs`."""
    left_out = {*ATTACHED, *claim.varied, *free}
    settings = {key: value for key, value in run.experiment.settings.items() if key not in left_out}
    one_baseline = len({baseline(arm.method) for arm in claim.arms}) == 1
    code = one_baseline and same_numbers(run.record.code)
    parts = [settings, read.trained_on, read.tested_on, read.weights, code, run.record.environment.processor]
    return json.dumps(parts, sort_keys=True)
