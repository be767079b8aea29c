"""A file that another process removes or replaces between two looks is no fault, and no run is overlooked."""

import fcntl
import shutil
from pathlib import Path

import pandas as pd
import pytest

from baselines.interface.errors import UserError
from benchmarks.runs import folder as run_folder
from benchmarks.runs import unfinished
from benchmarks.runs.finished import FinishedRun
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import write_record
from benchmarks.runs.unfinished import all_runs, start_run, unfinished_runs
from benchmarks.scheduling.cleanup import clean


@pytest.fixture
def started(make_record, results):
    """A run that has started, and the function that finishes it."""
    record = make_record()
    folder = RunFolder(results / record.name)
    start_run(folder, record.experiment, record.code)
    return folder, lambda: write_record(folder, record, pd.DataFrame())


def vanishing(monkeypatch, name):
    """Files of that name are removed just before they are read."""
    read = Path.read_text

    def remove_and_read(self, *args, **options):
        if self.name == name:
            self.unlink()
        return read(self, *args, **options)

    monkeypatch.setattr(Path, "read_text", remove_and_read)


@pytest.mark.parametrize("name", ["failure.txt", "curves.jsonl", "log.txt"])
def test_file_of_an_unfinished_run_vanishes(started, results, monkeypatch, name):
    (started[0].path / name).write_text("one line\n")
    vanishing(monkeypatch, name)
    (run,) = unfinished_runs(results)
    assert str(run) == f"{started[0].path.name}, stopped: no epoch ended"


def test_files_of_a_finished_run_vanish(started, results, monkeypatch):
    folder, finish = started
    finish()
    (record,), _ = all_runs(results)
    folder.curves.write_text('{"epoch": 1}\n')
    vanishing(monkeypatch, folder.curves.name)
    assert FinishedRun(record, folder).curves().empty
    folder.queries.unlink()
    assert FinishedRun(record, folder).queries().empty


def test_run_that_finishes_before_its_lock_is_read(started, results, monkeypatch):
    def finish_and_look(folder):
        started[1]()
        return False

    monkeypatch.setattr(RunFolder, "is_locked", property(finish_and_look))
    assert unfinished_runs(results) == []


def test_run_that_finishes_while_the_folder_is_read_is_in_a_list(started, results, monkeypatch):
    def read_and_finish(place):
        found = unfinished_runs(place)
        started[1]()
        return found

    monkeypatch.setattr(unfinished, "unfinished_runs", read_and_finish)
    finished, not_finished = all_runs(results)
    assert started[0].path.name in {record.name for record in finished} | {run.folder.path.name for run in not_finished}
    assert len(finished) == 1


def test_lock_of_a_replaced_folder_holds(started, monkeypatch):
    """The folder is removed and made again after the lock file was opened: a lock on the old file would lock nobody out."""
    folder, flock = started[0], fcntl.flock

    def replace_and_lock(file, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        shutil.rmtree(folder.path)
        folder.path.mkdir()
        (folder.path / ".lock").touch()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", replace_and_lock)
    with folder.lock():
        assert folder.is_locked
    assert not folder.is_locked


def test_lock_waits_for_those_who_look(started, monkeypatch):
    flock, looks = fcntl.flock, iter(range(5))

    def busy(file, operation):
        if next(looks, None) is not None:
            raise BlockingIOError
        flock(file, operation)

    monkeypatch.setattr(run_folder.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(fcntl, "flock", busy)
    with started[0].lock():
        pass
    with started[0].lock(), pytest.raises(UserError, match="another process is running"), started[0].lock():
        pass


def test_clean_passes_over_what_is_gone(results):
    for name in ("a", "b"):
        (results / name).mkdir(parents=True)
        (results / name / "failure.txt").write_text("no memory")
    found = clean(remove=True)
    assert next(found).path == results / "a"
    shutil.rmtree(results / "b")
    assert [each.size for each in found] == [0]
    assert list(results.iterdir()) == []


def test_clean_leaves_a_state_that_a_run_has_saved_since(started, results, monkeypatch):
    folder, lock = started[0], RunFolder.lock
    folder.failure.write_text("no memory")

    def save_and_lock(self):
        self.checkpoint.touch()
        return lock(self)

    monkeypatch.setattr(RunFolder, "lock", save_and_lock)
    list(clean(remove=True))
    assert folder.checkpoint.exists()
