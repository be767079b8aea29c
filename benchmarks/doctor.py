"""Check that a machine has what the harness needs."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from baselines import BASELINES
from baselines.interface.errors import UserError

from .data import DATASETS, imported_datasets
from .paths import cache_dir, data_dir, results_dir
from .progress import show_progress

if TYPE_CHECKING:
    from .runs.record import Record

FAIL = "FAIL"


class Check(NamedTuple):
    """One result. `remedy` says how to fix a bad result; only a check that is `needed` must pass."""

    good: bool
    subject: str
    state: str
    remedy: str = ""
    needed: bool = False

    @property
    def mark(self) -> str:
        """The beginning of the line: "ok", FAIL for what is needed, "-" for what is optional."""
        return "ok" if self.good else FAIL if self.needed else "-"


class ControlsCheck(NamedTuple):
    """The current records of the controls, their failures, and the baselines with missing controls."""

    records: "list[Record]"
    failures: list[str]
    incomplete: list[str]


def check_controls() -> ControlsCheck:
    """Run the three quickest controls if they are missing, and judge all controls that have run here."""
    from .runs.find import available_digests
    from .runs.staleness import stale_reasons
    from .runs.store import load_records
    from .scheduling.quick_controls import run_quick_controls
    from .suites.controls import by_own_recipe, judge, missing

    with show_progress() as report:
        run_quick_controls(results_dir(), report)
    controls = list(filter(by_own_recipe, load_records(results_dir())))
    digests = available_digests(controls)
    current = [record for record in controls if not stale_reasons(record, digests)]
    incomplete = [name for name in BASELINES.names() if missing(current, [name])]
    return ControlsCheck(current, judge(current), incomplete)


def diagnose() -> Iterator[Check]:
    """All checks, the quick ones first."""
    for name, place in (("BENCH_CACHE", cache_dir()), ("BENCH_RESULTS", results_dir())):
        yield _writable(name, place)
    yield from _damaged_runs()
    yield from _data_sets()
    yield from _torch()


def _writable(name: str, place: Path) -> Check:
    """Create a temporary file in the folder, or in its nearest existing parent: permissions alone do not tell."""
    existing = next(parent for parent in (place.absolute(), *place.absolute().parents) if os.path.lexists(parent))
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Check(True, name, str(place))
    except OSError as error:
        remedy = f"{existing} cannot be written to ({error.strerror}); set {name} to a folder that you can write to"
        return Check(False, name, str(place), remedy, needed=True)


def _damaged_runs() -> Iterator[Check]:
    """The runs whose record or experiment cannot be read, and which every table leaves out."""
    from .runs.folder import run_folders
    from .runs.store import read_record
    from .runs.unfinished import starting_code

    for folder in run_folders(results_dir()) if results_dir().is_dir() else ():
        try:
            read_record(folder)
            starting_code(folder)
        except UserError as error:
            yield Check(False, "damaged run", folder.path.name, str(error))


def _data_sets() -> Iterator[Check]:
    from .data.drawn import DrawnDataset

    base = data_dir()
    if base is not None and not base.is_dir():
        yield Check(
            False, "BENCH_DATA", str(base), "not a folder; set it to the folder that holds data sets", needed=True
        )
    for name in DATASETS.names():
        dataset = DATASETS.get(name)
        if issubclass(dataset, DrawnDataset):
            yield Check(True, name, "drawn when first used")
            continue
        root = base / dataset.folder if base is not None else None
        if root is not None and root.is_dir() and not os.access(root, os.R_OK | os.X_OK):
            yield Check(False, name, str(root), f"{root} cannot be read; change its permissions", needed=True)
        elif root is not None and root.is_dir() and any(root.iterdir()):
            yield Check(True, name, f"{root}; `bench data verify {name}` checks it")
        else:
            folder = root or f"{dataset.folder}/ in the folder that BENCH_DATA names"
            remedy = f"optional: {folder} must hold {dataset.layout} ({dataset.source})"
            yield Check(False, name, "not here", remedy)
    for name in imported_datasets():
        yield Check(True, name, "imported")


def _torch() -> Iterator[Check]:
    import torch

    from baselines.backbones import BACKBONES

    yield Check(True, "torch", torch.__version__)
    yield Check(True, "threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores; a recipe sets its own")
    if torch.cuda.is_available():
        yield Check(True, "GPU", torch.cuda.get_device_name())
    else:
        yield Check(
            False,
            "GPU",
            "none",
            "optional: small backbones train on a CPU in minutes; ResNet-50 at 256x128 needs a GPU",
        )
    for name in BACKBONES.names():
        file = BACKBONES.get(name).pretrained_file(name, download=False)
        if file is None:
            continue
        remedy = f"optional: downloaded on first use; without a network put {file.name} into {file.parent}, or use --weights FILE"
        yield Check(file.exists(), f"ImageNet weights, {name}", str(file) if file.exists() else "not here", remedy)
