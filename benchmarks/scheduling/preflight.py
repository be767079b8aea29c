"""What a run needs and this machine lacks, and what it will cost, found before it starts: data, weights, time, GPU memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from baselines import BASELINES
from baselines.backbones import BACKBONES
from baselines.interface.errors import UserError
from benchmarks.data import attributes
from benchmarks.data.dataset import PackedDataset
from benchmarks.data.find import find_dataset, is_drawn
from benchmarks.data.loading import counts_note, find_root, why_unavailable
from benchmarks.experiments.experiment import NONE
from benchmarks.experiments.methods import needs_attributes, split_method
from benchmarks.experiments.settings import Settings
from benchmarks.paths import results_dir
from benchmarks.runs.store import load_records
from benchmarks.suites.suite import Planned
from benchmarks.wording import format_duration

from .estimate import estimate_seconds, gpu_name, measured_seconds, on_device_of_last_training
from .selection import Selection


def missing_here(selection: Selection, also: Iterable[str] = ()) -> list[str]:
    """What the experiments of a selection lack here, one line for each, with its remedy.

    Args:
        also: other data sets that they read.
    """
    planned = selection.experiments()
    return [
        *missing_data(_datasets(planned, also), selection.root),
        *missing_attributes(planned, selection.root),
        *missing_weights(selection.settings_of(planned)),
    ]


def counts_notes(selection: Selection, also: Iterable[str] = ()) -> list[str]:
    """The data sets of a selection, and others, whose counts are not the published ones, as far as they were read here."""
    names = _datasets(selection.experiments(), also)
    return [f"{name}: {note}" for name in names if (note := counts_note(name, selection.root))]


def _datasets(planned: Iterable[Planned], also: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*(name for each in planned for name in each.experiment.datasets), *also]))


def describe(selection: Selection) -> Iterator[str]:
    """What the first experiment of a selection will cost: its time and the GPU memory of a training step.

    Raises:
        UserError: its settings refuse each other.
    """
    from .memory import memory_texts

    first = selection.experiments()[0]
    seconds = estimate_seconds(first.experiment, on_device_of_last_training(load_records(results_dir()))[0])
    elsewhere = measured_seconds(first.experiment)
    if seconds is not None:
        yield f"time: about {format_duration(seconds)}, by recorded frames/s"
    elif elsewhere is not None:
        measured = f"about {elsewhere / 3600:.1f} h on one {gpu_name()}, by results/measured/gpu.json"
        yield f"time: {measured}; no similar run has finished here"
    else:
        yield "time: unknown; no similar run has finished here"
    yield f"GPU memory of a training step: {memory_texts(selection, [first])[0]}"


def missing_data(datasets: Iterable[str], root: Path | None) -> list[str]:
    """The data sets that cannot be trained on here; what is drawn is not missing."""
    found = []
    for name in datasets:
        if reason := why_unavailable(name, root):
            found.append(reason)
        elif features_only := find_dataset(name).features_only:
            found.append(f"data set {name}: for feature extraction only: {features_only}")
    return found


def missing_attributes(planned: Iterable[Planned], root: Path | None) -> list[str]:
    """The data sets that lack the attributes of people which a planned baseline learns; those that are absent are left out."""
    named = dict.fromkeys(each.experiment.dataset for each in planned if needs_attributes(each.experiment.method))
    found = []
    for name in (name for name in named if not (is_drawn(name) or why_unavailable(name, root))):
        dataset = find_dataset(name)
        folder = dataset.cache_folder if isinstance(dataset, PackedDataset) else find_root(name, root)
        if not (folder / attributes.FILE).exists():
            found.append(attributes.missing_line(name, folder))
    return found


def missing_weights(runs: Iterable[tuple[str, Settings]]) -> list[str]:
    """The files of weights that methods with these settings read and that are not here. Nothing is downloaded."""
    return list(dict.fromkeys(line for method, settings in runs for line in _missing(method, settings)))


def _missing(method: str, settings: Settings) -> Iterator[str]:
    try:
        yield from _missing_of_backbone(settings)
        if settings.flow == "raft" and BASELINES.get(split_method(method)[0]).flow_fields:
            from benchmarks.clips.raft import weights_file

            weights_file(settings.flow_weights)
    except UserError as error:
        yield str(error)


def _missing_of_backbone(settings: Settings) -> Iterator[str]:
    if settings.weights == NONE:
        return
    from baselines.backbones.weights import IMAGENET  # imports torch

    if settings.weights != IMAGENET:
        if not Path(settings.weights).is_file():
            yield f"weights: {settings.weights}: no such file; name a safetensors or state-dict file, 'imagenet' or 'none'"
        return
    family_name = settings.backbone.partition(":")[0]
    family: Any = BACKBONES.get(family_name)
    file = family.pretrained_file(settings.backbone, download=False)
    if file is None:
        yield f"weights: there are no ImageNet weights for the backbone {settings.backbone!r}; name a file, or 'none'"
    elif not file.exists():
        # Longer names, such as timm:NAME, use the cache of Hugging Face, which is not edited by hand.
        place = f"put {file.name} there, or " * (family_name == settings.backbone)
        yield (
            f"weights: {file} is missing; the first run with a network downloads it, or {place}use --set weights=FILE, "
            "or --set weights=none"
        )
