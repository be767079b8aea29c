"""Runs on disk: every file of a run's folder is named here, and a record is there whole or not at all."""

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.atomic import atomic_file, write_atomically
from benchmarks.evaluation.ranking import Ranking, rank
from benchmarks.experiments.code_digest import code_digest
from benchmarks.experiments.experiment import Experiment

RANKS = (1, 5, 10, 20)
FORMAT = 1  # of a record; a reader of another format says so and reads nothing


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def settings(self) -> Path:
        """The experiment, resolved, as JSON; written first."""
        return self.path / "experiment.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def curves(self) -> Path:
        """Means of the loss terms, a JSON line an epoch."""
        return self.path / "curves.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The state of a training that is under way; gone when it has ended."""
        return self.path / "checkpoint.pth"

    @property
    def weights(self) -> Path:
        """The final weights."""
        return self.path / "model.safetensors"

    @property
    def fitted_metric(self) -> Path:
        """The metric that was fitted on the training tracklets, where the settings name one."""
        return self.path / "metric.npz"

    @property
    def queries(self) -> Path:
        """Results a query, under every protocol."""
        return self.path / "queries.parquet"

    @property
    def record(self) -> Path:
        """Everything else; written last, so that its presence means done."""
        return self.path / "record.json"

    @property
    def failure(self) -> Path:
        """The line of the error that ended the last attempt, where one did."""
        return self.path / "failure.txt"

    @property
    def hollow(self) -> bool:
        """Whether a run failed here that has left neither a record nor a state to go on from."""
        made = (self.record, self.checkpoint, self.weights)
        return self.failure.exists() and not any(file.exists() for file in made)

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"

    @property
    def gallery(self) -> Path:
        """Ranked strips, where `bench gallery` has drawn them: a folder."""
        return self.path / "gallery"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; the kernel lets go of it when the process dies.

        What ends the block as an error, other than a wish to stop, is written down in `failure`.

        Raises:
            UserError: another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self._lock, "w") as file:
            for attempt in (1, 2, 3):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if attempt == 3:
                        raise UserError(
                            f"{self.path}: another process is running this experiment; wait for it or stop it"
                        ) from None
                    time.sleep(0.05)  # `held` has it for a moment
            self.failure.unlink(missing_ok=True)
            with self.failing():
                yield

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Write down in `failure` what ends the block as an error, other than a wish to stop.

        Of several processes the first to fail is the cause; the others lose their connection to it.
        """
        try:
            yield
        except Exception as error:
            line = f"{type(error).__name__}: {error}".splitlines()[0]
            if isinstance(error, UserError):
                line = str(error).strip().splitlines()[-1]  # of a worker's, the line below its traceback
            if not self.failure.exists():
                write_atomically(self.failure, line)
            raise

    @property
    def held(self) -> bool:
        """Whether a process is running the experiment now, on any machine whose kernel shares this file system's locks."""
        try:
            with open(self._lock) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


Record = dict[str, Any]


def to_json(value: Any) -> str:
    """Indented and sorted; a NaN is refused, because JSON has none."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False)


def begin(folder: RunFolder, experiment: Experiment, code: str | None) -> None:
    """Write down what is going to run, and the code that runs it."""
    shutil.rmtree(_unbegun(folder.path.parent, experiment).path, ignore_errors=True)
    write_atomically(folder.settings, to_json({**asdict(experiment), "code": code}))


def _unbegun(place: Path, experiment: Experiment) -> RunFolder:
    """Where it is written down that a run failed before it knew its data and weights, and so its own folder."""
    return RunFolder(place / f"{experiment.name.rpartition('-')[0]}-unbegun-{experiment.request_hash[:10]}")


def fail(place: Path, experiment: Experiment, line: str) -> None:
    """Write down that a run failed before it knew its data and weights; forgotten as soon as it begins."""
    folder = _unbegun(place, experiment)
    begin(folder, experiment, None)
    write_atomically(folder.failure, line)


def begun_by(folder: RunFolder) -> str | None:
    """The code that began what lies in the folder; None where nothing was begun."""
    try:
        return str(json.loads(folder.settings.read_text())["code"])
    except FileNotFoundError:
        return None


def write(folder: RunFolder, record: Record, queries: pd.DataFrame) -> None:
    """Results a query first, the record last: a reader that sees a record sees all of it."""
    with atomic_file(folder.queries) as half:
        queries.to_parquet(half, index=False)
    write_atomically(folder.record, to_json(record))


def read(folder: RunFolder) -> Record | None:
    """The record of a finished run, or None.

    Raises:
        UserError: not a record, or one of another format.
    """
    try:
        return checked(json.loads(folder.record.read_text()), folder.record)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder.record}: not a record ({error}); --fresh makes it again") from error


def checked(record: Record, file: Path) -> Record:
    """A record as it was read from `file`.

    Raises:
        UserError: one of another format.
    """
    if record.get("format") != FORMAT:
        raise UserError(
            f"{file}: a record of format {record.get('format')}; this version of bench reads format {FORMAT}"
        )
    return record


def finished(place: Path) -> list[Record]:
    """All records below `place`, by name; what is none is left out, and named where a user sees it."""
    found = []
    for folder in folders(place):
        try:
            found.append(read(folder))
        except UserError as error:
            print(f"bench: left out: {error}", file=sys.stderr)
    return [record for record in found if record is not None]


def folders(place: Path) -> list[RunFolder]:
    """The folders below `place`, by name."""
    if not place.exists():
        return []
    with os.scandir(place) as entries:
        return [RunFolder(place / name) for name in sorted(entry.name for entry in entries if entry.is_dir())]


def find(run: str, place: Path) -> tuple[RunFolder, Record]:
    """The finished run that `run` names: a folder's name, its beginning or its end, or a path.

    Raises:
        UserError: none, or several.
    """
    for folder in (RunFolder(Path(run)), RunFolder(place / run)):
        record = read(folder)
        if record is not None:
            return folder, record
    records = {record["name"]: record for record in finished(place)}
    run = run.replace(":", "_")  # as folders' names have it
    matches = [name for name in records if name.startswith(run) or name.endswith(run)]
    if len(matches) != 1:
        if matches:
            raise UserError(f"{run!r} is {len(matches)} runs in {place}: {', '.join(matches)}; name one")
        hint = nearest(run, list(records)) if records else "there is none yet"
        raise UserError(f"no finished run {run!r} in {place}; {hint}")
    return RunFolder(place / matches[0]), records[matches[0]]


def experiment_of(record: Record) -> Experiment:
    """The experiment that a record is of."""
    return Experiment(**record["experiment"])


def stale(record: Record, digests: dict[str, set[str]]) -> list[str]:
    """Why a record is not current: made by other code, or on other data than `digests` (by data set's name) says is here."""
    experiment = experiment_of(record)
    code = code_digest(experiment)
    reasons = ["made by other code"] if code is not None and record["code"] != code else []
    if experiment.external:
        return reasons  # what it read are files of features, not the data set that it names
    read_from = (
        (experiment.dataset, experiment.split, experiment.data),
        (experiment.test, experiment.test_split, experiment.test_data),
    )
    for name, split, digest in read_from:
        here = digests.get(f"{name}/{split}")
        if here is not None and digest not in here and f"other data: {name}" not in reasons:
            reasons.append(f"other data: {name}")
    return reasons


def metrics(rankings: dict[str, Ranking], feature: str) -> list[dict[str, Any]]:
    """A row a protocol: mAP and CMC as fractions (None where no query has a match), counts of queries."""
    rows = []
    for protocol, ranking in rankings.items():
        matched = int((ranking.first_hit_rank == ranking.first_hit_rank).sum())
        row: dict[str, Any] = {"protocol": protocol, "feature": feature, "mAP": ranking.map}
        row |= {f"R{k}": rank(ranking.cmc, k) for k in RANKS}
        row = {key: None if value != value else value for key, value in row.items()}
        rows.append({**row, "queries": matched, "unmatched": len(ranking.first_hit_rank) - matched})
    return rows


def per_query(rankings: dict[str, Ranking], feature: str, queries: pd.DataFrame) -> pd.DataFrame:
    """A row a query and protocol: query, pid, camid, average_precision, first_hit_rank (NaN: no match)."""
    parts = [
        pd.DataFrame(
            {
                "protocol": protocol,
                "feature": feature,
                "query": queries.tracklet.to_numpy(),
                "pid": queries.pid.to_numpy(),
                "camid": queries.camid.to_numpy(),
                "average_precision": ranking.average_precision,
                "first_hit_rank": ranking.first_hit_rank,
            }
        )
        for protocol, ranking in rankings.items()
    ]
    return pd.concat(parts, ignore_index=True)


@contextmanager
def forgotten(folders: Sequence[RunFolder]) -> Iterator[None]:
    """Runs that are not there while the block runs: gone for good when it ends well, back where they were when it fails."""
    aside = [(folder.path, folder.path.with_name(f".{folder.path.name}.{os.getpid()}")) for folder in folders]
    for path, hidden in aside:
        path.rename(hidden)
    try:
        yield
    except BaseException:
        for path, hidden in aside:
            if not path.exists():  # no job of a part that was accepted has begun it anew
                hidden.rename(path)
        raise
    for _, hidden in aside:
        shutil.rmtree(hidden)


def discard(folder: RunFolder) -> None:
    """Forget a run's results, so that it runs anew; the record goes first, so that no half of it is ever seen."""
    results = (folder.record, folder.queries, folder.weights, folder.fitted_metric)
    for file in (*results, folder.checkpoint, folder.curves, folder.log):
        file.unlink(missing_ok=True)
    shutil.rmtree(folder.gallery, ignore_errors=True)
