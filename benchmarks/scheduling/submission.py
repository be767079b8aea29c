"""Submit the experiments of a selection that are in certain states, to Slurm or as background processes."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.paths import results_dir
from benchmarks.runs.folder import RunFolder, temporarily_removed
from benchmarks.runs.store import load_records
from benchmarks.suites.suite import Planned
from benchmarks.wording import format_duration, number_of
from slurm import JobError
from slurm.ledger import Ledger, LedgerEntry, Task
from slurm.queue import ActiveJob
from slurm.resources import Resources, resolve
from slurm.submission import sbatch_scripts
from slurm.submission import submit as submit_tasks

from .estimate import estimate_seconds, measured_note, on_device
from .queue import add_queue, jobs_in_queue
from .selection import Selection, title
from .states import State, find_in_results
from .submitted import cancel_entries
from .tasks import PACK, CodeCopy, copy_code, job_environment, packing_tasks, unpacked


@dataclass(frozen=True)
class Missing:
    """The experiments of a selection to submit, with their states; and the states of all its experiments."""

    planned: list[Planned]
    states: list[State]
    all_states: list[State]
    wanted: Sequence[str]

    @property
    def not_submitted(self) -> str:
        """How many experiments are not submitted, by state, to append to a line; "" if there are none."""
        counts = Counter(state.name for state in self.all_states if state.name not in self.wanted)
        parts = ", ".join(f"{count} {name}" for name, count in counts.items())
        retry = "; `bench retry` submits failed ones again" if counts["failed"] else ""
        return f"; the others: {parts}{retry}" if parts else ""


def submit(
    selection: Selection, options: Mapping[str, Any], wanted: Sequence[str], *, local: bool, dry_run: bool
) -> Iterator[str]:
    """Submit the experiments whose state is one of `wanted`; yields the lines that say what was done.

    Args:
        options: of the jobs, as `slurm.resources.resolve` takes them.
        local: in the background of this machine, without Slurm.
        dry_run: submit nothing; yield the experiments, their cost and the sbatch scripts.

    Raises:
        JobError: a wrong resource, no answer from the queue, or the error message of sbatch.
    """
    resources = resolve(options)
    _ = resources.minutes  # raises, before anything else, if the time limit is not a time
    ledger = Ledger(results_dir())
    if dry_run:
        missing, _ = _find_missing(selection, ledger, wanted)
        yield from _describe(missing, f"bench-{selection.name}", resources, local)
        return
    with ledger.lock():
        missing, jobs = _find_missing(selection, ledger, wanted)
        if jobs is None:
            raise JobError(
                "the queue does not answer, so that the state of earlier jobs is unknown; try again when it answers"
            )
        stale = [RunFolder(results_dir() / state.record.name) for state in missing.states if state.record]
        if missing.planned:
            with temporarily_removed(stale):  # now: a job that is queued again must not delete what it has done since
                _submit(missing.planned, selection, resources, local, jobs, ledger)
    yield f"{number_of(len(missing.planned), 'job')} submitted{missing.not_submitted}"


def _find_missing(
    selection: Selection, ledger: Ledger, wanted: Sequence[str]
) -> tuple[Missing, dict[str, ActiveJob] | None]:
    """The experiments to submit, and the jobs that are not over (None: the queue does not answer)."""
    jobs, planned = jobs_in_queue(ledger), selection.experiments()
    states = add_queue(find_in_results(results_dir(), selection.root), ledger, jobs)(planned)
    pairs = [(each, state) for each, state in zip(planned, states, strict=True) if state.name in wanted]
    return Missing([each for each, _ in pairs], [state for _, state in pairs], states, wanted), jobs


def _describe(missing: Missing, name: str, resources: Resources, local: bool) -> Iterator[str]:
    """What a submission would do."""
    yield from map(title, missing.planned)
    packed_first = unpacked(missing.planned) if resources.scratch and not local else []
    for data in packed_first:
        yield f"{PACK}{data}, for which the others wait"
    yield f"\n{number_of(len(missing.planned), 'job')}{_cost(missing.planned, resources)}{missing.not_submitted}"
    if missing.planned and not local:
        after = [f"JOB_OF_{PACK}{data}".replace(" ", "_") for data in packed_first]
        scripts = sbatch_scripts(len(packed_first), _for_packing(resources), "bench-pack")
        scripts += sbatch_scripts(len(missing.planned), resources, name, after)
        yield "\n" + "\n".join(scripts)


def _cost(planned: Sequence[Planned], resources: Resources) -> str:
    """The estimated time of the jobs, from similar recorded runs, made on a GPU if the jobs request one.

    Several processes of a run are assumed to share its work perfectly.
    """
    recorded = on_device(load_records(results_dir()), bool(resources.gpus))
    estimates = [estimate_seconds(each.experiment, recorded) for each in planned]
    known = [seconds for seconds in estimates if seconds is not None]
    if not known:
        device = " on a GPU" if resources.gpus else ""
        hours = measured_note([each.experiment for each in planned])
        return (
            f", of unknown time: no similar run has finished here{device}; submit one run first to learn its time{hours}"
            if planned
            else ""
        )
    total = sum(known) * len(estimates) / len(known)
    gpu_hours = f", {total / 3600:.1f} GPU hours" if resources.gpus else ""
    duration = format_duration(total / (resources.processes * resources.nodes))
    return f", about {duration} one after the other{gpu_hours}, by recorded frames/s"


def _submit(
    planned: Sequence[Planned],
    selection: Selection,
    resources: Resources,
    local: bool,
    jobs: Mapping[str, ActiveJob],
    ledger: Ledger,
) -> None:
    """Submit experiments, and before them the packing of their data if the site has node-local disks.

    jobs: those that are not over.
    """
    with _removed_if_refused(ledger) as packing:
        code = copy_code(planned, _code_folder(ledger))
        environment = job_environment(code.folder)
        after = []
        if resources.scratch and not local:
            environment["BENCH_SCRATCH"] = resources.scratch
            tasks = packing_tasks(planned, code, selection.root)
            active = {entry.key for entry in ledger.entries().values() if entry.job in jobs}
            needed = [task for task in tasks if task.key not in active]
            if needed:
                packing += submit_tasks(needed, ledger, _for_packing(resources), environment, "bench-pack", local)
            entries = ledger.entries()
            after = [entries[task.key].job for task in tasks]
        tasks = [_task(each, code, selection.choice.description) for each in planned]
        submit_tasks(tasks, ledger, resources, environment, f"bench-{selection.name}", local, after)


@contextmanager
def _removed_if_refused(ledger: Ledger) -> Iterator[list[LedgerEntry]]:
    """If the submission in the block is refused, cancel the packing jobs that it adds to the list, and delete a new copy of the
    code that no job uses."""
    packing: list[LedgerEntry] = []
    copies_before = set(_code_folder(ledger).glob("*"))
    jobs_before = {entry.job for entry in ledger.entries().values()}
    try:
        yield packing
    except JobError:
        cancel_entries(packing, ledger)
        accepted = {entry.job for entry in ledger.entries().values()} - jobs_before - {""}
        if not accepted:
            for folder in set(_code_folder(ledger).glob("*")) - copies_before:
                shutil.rmtree(folder)
        raise


def _code_folder(ledger: Ledger) -> Path:
    return (ledger.folder / "code").absolute()


def _task(planned: Planned, code: CodeCopy, note: str) -> Task:
    """note: the options that distinguish the experiment from others with the same title."""
    text = f"{title(planned)} ({note})" if note else title(planned)
    return Task(planned.experiment.request_hash, text, code.command(planned.arguments))


def _for_packing(resources: Resources) -> Resources:
    """The resources of a job that packs a data set."""
    return replace(resources, gpus=0, nodes=1)
