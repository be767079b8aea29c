"""How the runs of a table were made, and what they cost: the cost columns of a table and the notes below it."""

from collections.abc import Iterable, Mapping, Sequence
from string import ascii_letters
from typing import Any

import numpy as np

from benchmarks.data.dataset import NOT_PUBLISHED
from benchmarks.experiments.code_digest import HALF, same_numbers
from benchmarks.experiments.experiment import DatasetPair, Experiment
from benchmarks.experiments.methods import needs_attributes
from benchmarks.experiments.recipe_files import ordered_settings
from benchmarks.experiments.settings import DEFAULTS_OF_NEW_SETTINGS, SEARCHED, changed_from_recipe
from benchmarks.runs.record import Record

COSTS = {"M params": "{:.2f}", "G MAC": "{:.3g}", "frames/s": "{:.0f}"}  # the columns, and the format of their numbers


def processor_letters(records: Iterable[Record]) -> dict[str, str]:
    """A letter for each processor on which frames/s were measured, by its name; empty if there is only one."""
    processors = sorted({each.environment.processor for each in records if "extract" in each.phases})
    return dict(zip(processors, ascii_letters, strict=False)) if len(processors) > 1 else {}


def cost_note(letters: Mapping[str, str]) -> str:
    """The note that explains the columns of COSTS."""
    by = "; frames/s on " + ", ".join(f"{letter} {name}" for name, letter in letters.items()) if letters else ""
    return f"M params: without the classifier; G MAC: multiply-adds per frame; frames/s: at test; means over runs{by}"


def cost_cells(records: Sequence[Record], letters: Mapping[str, str]) -> list[str]:
    """The cells of a row in the columns of COSTS: means over the runs, or a dash if nothing is known.

    The last cell also has the letters of the processors, as `processor_letters` gives them.
    """
    known = [_costs(each) for each in records]
    values = {column: [each[column] for each in known if column in each] for column in COSTS}
    cells = [form.format(np.mean(values[column])) if values[column] else "-" for column, form in COSTS.items()]
    measured = {each.environment.processor for each in records if "extract" in each.phases}
    by = ", ".join(sorted(letters[name] for name in measured)) if letters else ""
    return [*cells[:-1], f"{cells[-1]} {by}".rstrip()]


def _costs(record: Record) -> dict[str, float]:
    """One run's costs by the names in COSTS; empty for features that were extracted elsewhere."""
    cost, extract = record.cost, record.phases.get("extract")
    costs = {"M params": cost.parameters / 1e6, "G MAC": cost.multiply_adds / 1e9} if cost else {}
    return costs | {"frames/s": extract.per_second} if extract else costs


def common_settings(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """The settings that all experiments share, with their values."""
    if not experiments:
        return {}
    first, *others = (each.settings for each in _distinct(experiments))
    return {key: value for key, value in first.items() if all(each.get(key) == value for each in others)}


def _distinct(experiments: Sequence[Experiment]) -> list[Experiment]:
    """One experiment for each recipe, method and settings object, because thousands of runs from an index share these."""
    return list({(each.recipe, each.method, id(each.settings)): each for each in experiments}.values())


def common_changes(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """The settings that all experiments change from their recipe and method, to the same value."""
    changes = [changed_from_recipe(each.recipe, each.method, each.settings) or {} for each in _distinct(experiments)]
    common = common_settings(experiments)
    return {key: value for key, value in common.items() if all(key in each for each in changes)}


def change_notes(changes: Mapping[str, Any]) -> list[str]:
    """A note on `common_changes`, if there are any."""
    return [f"changed from the recipe: {list_settings(changes, changes)}"] if changes else []


def data_notes(records: Iterable[Record]) -> list[str]:
    """The cautions about the data that every table and plot must show, each once."""
    return sorted({f"{name}: {note}" for each in records for name, note in each.data_notes.items()})


def recognition_notes(rows: Iterable[tuple[str, Sequence[Record]]]) -> list[str]:
    """Notes on the rows whose models learn attributes: which attributes each recognises no better than a constant guess.

    An attribute that has the same value in all queries is not counted, because always guessing that value is right. A last note
    names the rows for which nothing was measured.

    Args:
        rows: labels and their runs.
    """
    notes, unknown = [], []
    for label, records in rows:
        learning = [
            each for each in records if not each.experiment.external and needs_attributes(each.experiment.method)
        ]
        more: dict[str, list[float]] = {}
        for each in learning:
            for name, found in each.recognised.items():
                if found.majority < 1:
                    more.setdefault(name, []).append(found.accuracy - found.majority)
        failed = [name for name, differences in more.items() if np.mean(differences) <= 0]
        if failed:
            notes.append(
                f"{label}: {len(failed)} of {len(more)} attributes are recognised on the queries no better than by always "
                f"guessing the most frequent value, so their weights say little: {', '.join(failed)}"
            )
        unknown += [label] if learning and not more else []
    measured = "whether attributes are recognised on the queries was not measured"
    return [*notes, *([f"{', '.join(unknown)}: {measured}"] if unknown else [])]


def pair_title(pair: DatasetPair, notes: Iterable[str]) -> str:
    """The title of a table on a pair of data sets.

    Args:
        notes: as `data_notes` gives them. They say which of the two does not have the published counts; the title marks it.
    """
    differ = {name for name in pair if any(note.startswith(f"{name}: {NOT_PUBLISHED}") for note in notes)}
    return " to ".join(f"{name} ({NOT_PUBLISHED})" if name in differ else name for name in dict.fromkeys(pair))


def order_settings(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """The settings that the recipe gives to baselines that read order; empty if there are none, or several recipes."""
    asked = dict.fromkeys((each.recipe, each.method) for each in experiments)  # each once: thousands of runs share them
    given = [ordered_settings(*each) for each in asked] if len({recipe for recipe, _ in asked}) == 1 else []
    return next(filter(None, given), {})


def order_notes(given: Mapping[str, Any]) -> list[str]:
    """A note on `order_settings`, if there are any."""
    return [f"baselines that read order: {list_settings(given, given)}, by the recipe"] if given else []


def own_experiments(records: Iterable[Record]) -> list[Experiment]:
    """The experiments of the records, without those of features that were extracted elsewhere."""
    return [each.experiment for each in records if not each.experiment.external]


def tuning_trials(settings: Mapping[str, Any]) -> int:
    """How many trials of `bench tune` chose a run's settings."""
    return int(settings.get("tuning_trials", 0))


def tuning_notes(rows: Iterable[tuple[str, Sequence[Record]]]) -> list[str]:
    """Notes on how the rows were tuned: whether with the same number of trials, and the chosen settings. Empty if no row was.

    Args:
        rows: labels and their runs.
    """
    first = {label: records[0].experiment for label, records in rows if records}
    settings = {label: each.settings for label, each in first.items() if not each.external}
    trials = {label: tuning_trials(each) for label, each in settings.items()}
    if not any(trials.values()):
        return []
    if len(set(trials.values())) == 1:
        headline = f"tuned: {max(trials.values())} trials each"
    else:
        labels = {
            count: [label for label in trials if trials[label] == count] for count in sorted(set(trials.values()))
        }
        by_count = "; ".join(f"{count} of {', '.join(each)}" for count, each in labels.items())
        headline = f"UNEQUAL TUNING: trials: {by_count}"
    chosen = [
        f"{label}: {list_settings(settings[label], set(SEARCHED) & set(settings[label]))}"
        for label in trials
        if trials[label]
    ]
    return [f"{headline}; by mAP on held-out training identities", *chosen]


def list_settings(settings: Mapping[str, Any], keys: Iterable[str]) -> str:
    """`key=value` of some settings, sorted."""
    return ", ".join(f"{key}={settings[key]}" for key in sorted(keys))


def flag_mixed(values: Iterable[str]) -> str:
    """Values that should all be the same, flagged if they are not."""
    distinct = sorted(set(values))
    return ", ".join(distinct) + " (MIXED)" * (len(distinct) > 1)


def code_note(records: Sequence[Record]) -> str:
    """The digests of the shared code, and in words what differs between the runs: that code, or the files of a model.

    A baseline, a backbone and a matcher each have files of their own, so only runs that share all three are compared. (In
    the oldest records, the shared half includes the baseline's files.)
    """
    models: dict[tuple[str, ...], set[str]] = {}
    for record in records:
        settings = DEFAULTS_OF_NEW_SETTINGS | record.experiment.settings
        parts = (str(settings.get(part, "")).partition(":")[0] for part in ("backbone", "matcher"))
        model = (record.experiment.method.partition("+")[0], *parts)
        models.setdefault(model, set()).add(same_numbers(record.code))
    text = f"code {', '.join(sorted({code[:8] for codes in models.values() for code in codes}))}"
    if any(len({code[:HALF] for code in codes}) > 1 for codes in models.values()):
        return f"{text} (MIXED: several versions of the shared code)"
    changed = sorted({baseline for (baseline, *_), codes in models.items() if len(codes) > 1})
    return f"{text} (MIXED: several versions of the files of {', '.join(changed)})" if changed else text


def repetition_note(records: Sequence[Record]) -> str:
    """The seeds and splits of the runs; more than three consecutive ones as a range."""
    seeds, splits = ({getattr(each.experiment, key) for each in records} for key in ("seed", "split"))
    return f"seeds {_ranges(sorted(seeds))}; splits {_ranges(sorted(splits))}"


def _ranges(numbers: list[int]) -> str:
    consecutive = len(numbers) > 3 and numbers[-1] - numbers[0] == len(numbers) - 1
    return f"{numbers[0]} to {numbers[-1]}" if consecutive else ", ".join(map(str, numbers))
