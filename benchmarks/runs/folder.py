"""The folder of a run: its files, its lock, and how folders are listed and removed."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from baselines.interface.errors import UserError
from benchmarks.atomic import write_atomically

from .checksums import remove_checked

LOCK_ATTEMPTS = 10
RECORD = "record.json"


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def settings(self) -> Path:
        """The experiment with all its settings, as JSON; written first."""
        return self.path / "experiment.json"

    @property
    def log(self) -> Path:
        """The log of the training, with times."""
        return self.path / "log.txt"

    @property
    def curves(self) -> Path:
        """Means of the loss terms, one JSON line per epoch."""
        return self.path / "curves.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The state of a training that has not ended; removed when it ends."""
        return self.path / "checkpoint.pth"

    @property
    def weights(self) -> Path:
        """The final weights."""
        return self.path / "model.safetensors"

    @property
    def fitted_metric(self) -> Path:
        """The metric that was fitted on the training tracklets, if the settings name such a one."""
        return self.path / "metric.npz"

    @property
    def queries(self) -> Path:
        """The results of each query, under every protocol."""
        return self.path / "queries.parquet"

    @property
    def record(self) -> Path:
        """Everything else; written last, so that a run with a record is finished."""
        return self.path / RECORD

    @property
    def failure(self) -> Path:
        """The error that ended the last attempt, on one line; absent if it did not fail."""
        return self.path / "failure.txt"

    @property
    def gallery(self) -> Path:
        """The folder of ranked strips that `bench gallery` draws."""
        return self.path / "gallery"

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"

    @property
    def empty(self) -> bool:
        """Whether there is neither a record nor a state to resume from."""
        return not any(file.exists() for file in (self.record, self.checkpoint, self.weights))

    @property
    def failed_empty(self) -> bool:
        """Whether a run failed here and left neither a record nor a state to resume from."""
        return self.failure.exists() and self.empty

    @property
    def is_locked(self) -> bool:
        """Whether a process is running the experiment, on any machine whose kernel shares this file system's locks."""
        try:
            with open(self._lock) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for this process; the kernel releases the lock when the process dies.

        Files that a killed process left half-written are removed. An error that ends the block is written to `failure`.

        Raises:
            UserError: another process has locked it.
        """
        with self._locked_file():
            self.failure.unlink(missing_ok=True)
            self._remove_half_written()
            with self.noting_failure():
                yield

    def _remove_half_written(self) -> None:
        """Remove what a killed process left. Whoever holds the lock knows that nobody is writing it."""
        for file in (self.settings, *self._results, self.failure):
            for half in self.path.glob(f".{file.name}.*"):
                shutil.rmtree(half) if half.is_dir() else half.unlink(missing_ok=True)

    @property
    def _results(self) -> tuple[Path, ...]:
        """The files of a run but its experiment, in the order in which they may be removed: no reader sees half a run."""
        measured = (self.record, self.queries, self.weights, self.fitted_metric)
        return (*measured, self.checkpoint, self.curves, self.log)

    def _locked_file(self) -> TextIO:
        """The lock file, opened and locked. Others may lock it for a moment (`is_locked`), or remove it with its folder."""
        for attempt in range(LOCK_ATTEMPTS):
            time.sleep(0.02 if attempt else 0)
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                file = open(self._lock, "w")  # noqa: SIM115 - the caller closes it
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(file.fileno()), self._lock.stat()):
                    return file
            except (BlockingIOError, FileNotFoundError):
                pass
            file.close()
        raise UserError(f"{self.path}: another process is running this experiment; wait for it or stop it")

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Write an error that ends the block to `failure`. A request to stop is no error.

        Of several processes, the first to fail is the cause; the others lose their connection to it.
        """
        try:
            yield
        except (Exception, SystemExit) as error:  # the latter is of a plug-in
            line = f"{type(error).__name__}: {error}".splitlines()[0]
            if isinstance(error, UserError):
                line = str(error).strip().splitlines()[-1]  # of a worker's error, the line below its traceback
            with suppress(OSError):  # where nothing can be written, that is the error, and it is on its way
                if not self.failure.exists():
                    write_atomically(self.failure, line)
            raise

    def clear(self) -> None:
        """Remove the results, so that the run starts anew."""
        for file in self._results:
            remove_checked(file)
        shutil.rmtree(self.gallery, ignore_errors=True)


def run_folders(results_dir: Path, unfinished: bool = False) -> list[RunFolder]:
    """The folders in the results directory, sorted by name, without hidden ones (the ledger, and runs that are being removed).

    Args:
        unfinished: only those without a record.
    """
    try:
        with os.scandir(results_dir) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    except FileNotFoundError:
        return []
    if unfinished:
        names = [name for name in names if not os.path.exists(f"{results_dir}/{name}/{RECORD}")]  # noqa: PTH110 - faster
    return [RunFolder(results_dir / name) for name in names]


def text_of(file: Path) -> str:
    """The text of a file of a run; "" if it is not there: another process may write or remove it at any time."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


@contextmanager
def temporarily_removed(folders: Sequence[RunFolder]) -> Iterator[None]:
    """Remove runs while the block runs: for good if it succeeds; if it fails they are put back."""
    moves = [(folder.path, folder.path.with_name(f".{folder.path.name}.{os.getpid()}")) for folder in folders]
    for path, hidden in moves:
        path.rename(hidden)
    try:
        yield
    except BaseException:
        for path, hidden in moves:
            if not path.exists():  # unless a job that was accepted has started it anew
                hidden.rename(path)
        raise
    for _, hidden in moves:
        shutil.rmtree(hidden)
