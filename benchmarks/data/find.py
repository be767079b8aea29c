"""Data sets by name: installed, from a plug-in, drawn or imported. Nothing of their data is read."""

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.parsing import LONGEST_TEXT

from . import DATASETS, imported_datasets, is_imported, registered_name
from .dataset import Dataset, PackedDataset
from .drawn import DrawnDataset
from .imported import ImportedDataset


def find_dataset(name: str) -> Dataset:
    """The data set of a full name. Nothing is read.

    Raises:
        UserError: no such data set; the message gives the closest name, size or world.
    """
    if len(name) > LONGEST_TEXT:
        raise UserError(f"no data set {name[:40]!r}...: a name has at most {LONGEST_TEXT} characters")
    if registered_name(name) in DATASETS.entries:
        dataset: Dataset = DATASETS.get(registered_name(name)).from_name(name)
        return dataset
    if is_imported(name):
        return ImportedDataset(name)
    names = DATASETS.names() + imported_datasets()
    in_another_case = (each for each in names if each.casefold() == name.casefold())
    known = nearest(next(in_another_case, name), names)
    raise UserError(f"no data set {name!r}; {known} (add one with `bench data import` or --plugin FILE.py)")


def full_name(name: str) -> str:
    """The name of a data set in records. A drawn data set may have several names; this is the shortest.

    Raises:
        UserError: no such data set.
    """
    dataset = find_dataset(name)
    return dataset.name if isinstance(dataset, PackedDataset) else name


def is_drawn(name: str) -> bool:
    """Whether a data set is drawn; False for one that is not known here."""
    return isinstance(find_known(name), DrawnDataset)


def find_known(name: str) -> Dataset | None:
    """The data set of a name from a record, or None: it may come from a plug-in that is not loaded."""
    try:
        return find_dataset(name)
    except UserError:
        return None
