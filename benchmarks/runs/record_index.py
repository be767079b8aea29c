"""An index of the finished runs in a results directory: one hidden file with the contents of thousands of records.

It saves the time of reading and validating each record, and decides nothing. An entry counts only while its record has the
size, times and inode that were noted when it was read; any other record is read from its own file. An index that is damaged,
that other code wrote, or that cannot be read or written is ignored.
"""

import gc
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import datetime
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.atomic import write_atomically
from benchmarks.experiments.experiment import Experiment

from .record import Cost, Environment, Git, Metrics, Phase, Recognition, Record

FILE = ".record-index.json"
WORTH_WRITING = 200  # records that are not in the index: fewer are read about as fast as the index is written
SETTLED = 2.0  # seconds without a change: two changes within one tick of the file system's clock have the same times

State = tuple[int, int, int, int]  # of a file: its size, two times in nanoseconds, and its inode


class Entry(NamedTuple):
    """A record, and the state of its file before it was read: None if that could not be told."""

    state: State | None
    record: Record


def file_state(file: Path) -> State | None:
    """What changes whenever a file does; None if it cannot be told, as of a file that has just changed."""
    try:
        found = file.stat()
    except OSError:
        return None
    if max(found.st_mtime, found.st_ctime) > time.time() - SETTLED:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def read_index(results_dir: Path) -> dict[str, Entry]:
    """The entries by the name of the run's folder; none if there is no index, or it is damaged or of other code."""
    try:
        head, _, body = (results_dir / FILE).read_bytes().partition(b"\n")
        if head != _head(body):
            return {}
        with without_collection():
            values = json.loads(body)
            shared = {key: [_MAKE[key](each) for each in kept] for key, kept in values["shared"].items()}
            return {name: Entry(tuple(state), _record(row, shared)) for name, state, row in values["entries"]}
    except Exception:  # whatever is wrong with it, the records themselves are read
        return {}


@contextmanager
def without_collection() -> Iterator[None]:
    """Switch garbage collection off in this block: with thousands of records it finds nothing and takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def update_index(results_dir: Path, indexed: Mapping[str, Entry], entries: Mapping[str, Entry]) -> None:
    """Replace the index, in one step, if many entries are new. Without the right to write nothing happens.

    Args:
        indexed: what `read_index` gave.
        entries: of all records that are there now. Those that had just changed when they were read are left out.
    """
    entries = {name: entry for name, entry in entries.items() if entry.state}
    if sum(entry is not indexed.get(name) for name, entry in entries.items()) < WORTH_WRITING:
        return
    shared: dict[str, dict[str, int]] = {key: {} for key in _MAKE}
    rows = [(name, entry.state, _row(entry.record, shared)) for name, entry in entries.items()]
    kept = {key: [json.loads(text) for text in numbers] for key, numbers in shared.items()}
    body = json.dumps({"shared": kept, "entries": rows}, separators=(",", ":"))
    with suppress(OSError):
        write_atomically(results_dir / FILE, f"{_head(body.encode()).decode()}\n{body}")


def _head(body: bytes) -> bytes:
    """The checksums of an index and of the code that validates records: other code may judge them otherwise."""
    return f"{hashlib.sha256(body).hexdigest()} {_validating_code()}".encode()


@cache
def _validating_code() -> str:
    folders = (Path(__file__).parent, Path(__file__).parents[1] / "experiments")
    files = sorted(file for folder in folders for file in folder.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _environment(values: dict[str, Any]) -> Environment:
    git = values.pop("git")
    return Environment(**values, git=git and Git(**git))


# What many records have in common is stored once. How each of these is made from its JSON:
_MAKE: dict[str, Callable[[Any], Any]] = {
    "settings": dict,
    "environment": _environment,
    "cost": lambda values: values and Cost(**values),
    "data_notes": dict,
    "left_out": dict,
    "recognised": lambda values: {name: Recognition(**value) for name, value in values.items()},
}
_OWN_FIELDS = [each.name for each in fields(Experiment) if each.name != "settings"]
_METRICS, _PHASE = (attrgetter(*(each.name for each in fields(kind))) for kind in (Metrics, Phase))


def _row(record: Record, shared: dict[str, dict[str, int]]) -> list[Any]:
    """A record as JSON has it, with numbers in place of what is shared; `_record` is the inverse."""
    experiment = record.experiment
    parts = {**vars(record), "settings": experiment.settings}
    texts = {key: json.dumps(parts[key], default=vars) for key in _MAKE}
    return [
        record.format,
        record.name,
        [getattr(experiment, key) for key in _OWN_FIELDS],
        record.code,
        [_METRICS(each) for each in record.metrics],
        {key: _PHASE(phase) for key, phase in record.phases.items()},
        record.peak_memory,
        record.started.isoformat(),
        record.finished.isoformat(),
        [numbers.setdefault(texts[key], len(numbers)) for key, numbers in shared.items()],
    ]


def _record(row: list[Any], shared: Mapping[str, list[Any]]) -> Record:
    form, name, own, code, metrics, phases, memory, started, finished, numbers = row
    common = {key: kept[number] for (key, kept), number in zip(shared.items(), numbers, strict=True)}
    return Record(
        format=form,
        name=name,
        experiment=Experiment(**dict(zip(_OWN_FIELDS, own, strict=True)), settings=common.pop("settings")),
        code=code,
        metrics=[Metrics(*each) for each in metrics],
        phases={key: Phase(*each) for key, each in phases.items()},
        peak_memory=memory,
        started=datetime.fromisoformat(started),
        finished=datetime.fromisoformat(finished),
        **common,
    )
