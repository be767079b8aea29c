"""Submitted experiments: list their states, find one by name, print its logs, cancel it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.data.loading import is_packed
from benchmarks.paths import results_dir
from benchmarks.runs.unfinished import all_runs, started_experiments
from slurm import queue
from slurm.ledger import Ledger, LedgerEntry, now

from .queue import correct_by_queue, find_in_results_and_queue, jobs_in_queue
from .selection import Selection, title
from .states import DONE, State, states_by_request
from .tasks import PACK


def titles_and_states(selection: Selection | None) -> list[tuple[str, State]]:
    """The title and state of each experiment of a selection. None: of everything that was submitted."""
    if selection is None:
        return _submitted()
    planned = selection.experiments()
    states = find_in_results_and_queue(selection.root)(planned)
    return [(title(each), state) for each, state in zip(planned, states, strict=True)]


def _submitted() -> list[tuple[str, State]]:
    ledger = Ledger(results_dir())
    entries, jobs = ledger.entries(), jobs_in_queue(ledger)
    known = states_by_request(*all_runs(results_dir()), {})
    known |= {key: State(DONE) for key in entries if key.startswith(PACK) and is_packed(key.removeprefix(PACK))}
    return [
        (entry.title, correct_by_queue(known.get(key, State("not run")), entry, jobs, ledger.folder))
        for key, entry in entries.items()
    ]


def find_entries(name: str, ledger: Ledger, unique: bool = False) -> list[LedgerEntry]:
    """The ledger's entries whose job, title or run is called `name`; if there are none, those whose title or run contains it.

    Raises:
        UserError: there are none; or `unique`, and `name` is a part of several.
    """
    entries = ledger.entries()
    runs = {experiment.request_hash: folder.path.name for folder, experiment in started_experiments(results_dir())}
    equal = [
        entry
        for key, entry in entries.items()
        if name and name in (entry.job, entry.job.partition("_")[0], entry.title, runs.get(key))
    ]
    if equal:
        return equal
    containing = [
        entry for key, entry in entries.items() if name and (name in entry.title or name in runs.get(key, ""))
    ]
    titles = [entry.title for entry in entries.values()]
    if not containing:
        raise UserError(f"no submitted experiment is called {name!r}; {nearest(name, titles)}")
    if unique and len(containing) > 1:
        matching = "; ".join(entry.title for entry in containing)
        raise UserError(f"{name!r} matches {len(containing)} experiments: {matching}; name one, or use --all")
    return containing


def read_logs(name: str) -> Iterator[str]:
    """The output of the jobs that `name` finds, each under a line that names the job; of the last submission.

    Raises:
        UserError: there are none.
    """
    ledger = Ledger(results_dir())
    for entry in find_entries(name, ledger):
        yield f"== {entry.title}, job {entry.job or 'cancelled'}, submitted {entry.time}\n"
        for file in entry.logs(ledger.folder):
            if file.stat().st_size:
                yield f"-- {file}\n{file.read_text(errors='replace')}"


def cancel(name: str | None) -> list[LedgerEntry]:
    """Cancel the jobs that `name` finds and that are not over; None: all. Returns those that were cancelled.

    Raises:
        UserError: there are none, or `name` is a part of several.
        JobError: the queue does not answer, or a job runs on another machine.
    """
    ledger = Ledger(results_dir())
    with ledger.lock():
        entries = list(ledger.entries().values()) if name is None else find_entries(name, ledger, unique=True)
        jobs = queue.active_jobs(entries)
        active = [entry for entry in entries if entry.job in jobs]
        cancel_entries(active, ledger)
    return active


def cancel_entries(entries: Sequence[LedgerEntry], ledger: Ledger) -> None:
    """Cancel jobs, and write that into the ledger, whose lock the caller holds."""
    queue.cancel(entries)
    ledger.add([replace(entry, job="", time=now()) for entry in entries])
