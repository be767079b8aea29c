"""The card of an exported model, in Markdown, written from the record of its run."""

from collections.abc import Sequence

import numpy as np

from benchmarks.data.find import is_drawn
from benchmarks.experiments.settings import changed_from_recipe
from benchmarks.runs.record import Record

NOT_FOR = """\
- Not for finding, following or identifying people, or for any decision about a person. It was trained to compare methods.
- Not for cameras, clothes, seasons or groups of people other than those of its data: how it errs there is not known, and
  nobody has checked that it errs equally for all people.
- Not beyond what the data set's own terms permit for models that were trained on it."""
DRAWN = "- Its people are drawn: it has never seen a photograph, and its results say nothing about real people."


def card(record: Record, file: str, form: str, check: tuple[float, int, float], same: Sequence[Record]) -> str:
    """The model card.

    Args:
        file: the name of the model's file, which is the title of the card.
        form: its format.
        check: the largest difference to the features of the harness, the number of tracklets compared, and the tolerance.
        same: the finished runs that differ from the record in their seeds alone, with itself.
    """
    experiment, environment = record.experiment, record.environment
    settings = experiment.settings
    trained_on = experiment.dataset
    height, width, frames = (settings[key] for key in ("height", "width", "clip_frames"))
    notes = [f"- {name}: {note}" for name, note in record.data_notes.items()]
    sources = [
        f"- {verb} on {name}, split {split}, digest `{digest[:16]}`"
        for verb, (name, split, digest) in zip(("trained", "tested"), experiment.data_read, strict=True)
    ]
    changes = changed_from_recipe(experiment.recipe, experiment.method, settings)
    if changes is None:
        changed = "unknown (it is not a recipe of this project)"
    else:
        changed = ", ".join(f"{key}={value}" for key, value in sorted(changes.items())) or "nothing"
    difference, compared, tolerance = check
    types = "uint8 or float" if form == "TorchScript" else "uint8"
    lines = [
        f"# {file}",
        f"{experiment.method} for video person re-identification, trained on {trained_on}, as {form}. Run: `{record.name}`.",
        "## Input and output",
        f"Clips (B, T, 3, {height}, {width}): RGB frames of people in temporal order, {types}, values 0 to 255, cut out and "
        f"resized to {height}x{width} (area averaging where both sides shrink, else bilinear). The file normalises pixels; it "
        f"does not resize. The model was trained on clips of {frames} frames, and tested on chunks of at most "
        f"{settings['test_chunk']}.",
        "It returns the feature (B, D) and the weight (B,) of each clip. The feature of a longer tracklet is the weighted mean "
        f"of those of its chunks. Features are compared by the {settings.get('metric', 'euclidean')} distance.",
        "## Data",
        "\n".join([*sources, *notes]),
        "## Training",
        f"Recipe {experiment.recipe}, seed {experiment.seed}; changed from the recipe: {changed}. Initial weights: "
        f"{settings.get('weights', 'none')}, digest `{experiment.weights[:16]}`.",
        _table(["setting", "value"], [[f"`{key}`", str(value)] for key, value in settings.items()]),
        "## Results",
        _table(
            ["protocol", "batch norm", "mAP", "R1", "R5", "queries"],
            [
                [row.protocol, row.feature, *(_percent(row.percent(key)) for key in ("mAP", "R1", "R5")), str(row.queries)]
                for row in record.metrics
            ],
        ),
        _seeds(record, same),
        "## What it must not be used for",
        NOT_FOR + (f"\n{DRAWN}" if is_drawn(trained_on) else ""),
        "## How it was checked",
        f"Before the file was published it computed the features of {compared} test tracklets, from the shortest to the longest. "
        f"They differ from the harness's by at most {difference:.1e} of the largest value; more than {tolerance:.0e} is refused. "
        "The results above are the harness's own.",
        "## Code and machine",
        f"Code digest `{record.code}`, commit {environment.commit}, {environment.processor}, torch "
        f"{environment.packages.get('torch')}. "
        f"Finished {record.finished.isoformat()}.",
    ]  # fmt: skip
    return "\n\n".join(lines) + "\n"


def _seeds(record: Record, same: Sequence[Record]) -> str:
    """The results of one protocol over seeds: one run alone does not show how much they vary."""
    seeds = sorted(each.experiment.seed for each in same)
    if len(seeds) < 2:
        return f"One run, of seed {record.experiment.seed}: the variation over seeds was not measured here."
    rows = (each.find_metrics(record.first_protocol, record.metrics[0].feature) for each in same)
    figures = [row.percent("mAP") for row in rows if row is not None]
    known = [figure for figure in figures if figure is not None]
    over = f"Over the seeds {', '.join(map(str, seeds))}: "
    if not known:
        return f"{over}no mAP, because no query has a match."
    return (
        f"{over}mAP {np.mean(known):.1f} on average, from {min(known):.1f} to "
        f"{max(known):.1f} (protocol {record.first_protocol}). The file is the model of seed {record.experiment.seed}."
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
