"""Verbs on jobs: submit, status, logs, cancel, retry, clean."""

import shlex
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.paths import results_dir
from benchmarks.suites import SUITES
from slurm import JobError

from .options import spread
from .printing import jobs_of
from .suites import Asked, chosen, planned_of, title_of

if TYPE_CHECKING:
    from benchmarks.scheduling.states import State
    from benchmarks.suites.suite import Choice, Planned, Suite
    from slurm.ledger import Entry, Ledger
    from slurm.resources import Resources

verbs = typer.Typer()

Name = Annotated[str | None, typer.Argument(metavar="[SUITE]", help="A name from `bench suite list`.")]


class Wanted(NamedTuple):
    """What a job wants of the cluster; what is not said is the site's file's to say."""

    partition: Annotated[str | None, typer.Option(help="Default of this and what follows: the site's file.")] = None
    account: str | None = None
    qos: str | None = None
    constraint: Annotated[str | None, typer.Option(help="Of nodes, as sbatch has it.")] = None
    gpus: Annotated[int | None, typer.Option(min=0, help="A node's; a process each.")] = None
    cpus: Annotated[int | None, typer.Option(min=1, help="Of a process.")] = None
    memory: Annotated[float | None, typer.Option(help="Gigabytes a node.")] = None
    time: Annotated[str | None, typer.Option(help="Limit of a job: H:MM:SS, D-HH:MM:SS or minutes.")] = None
    nodes: Annotated[int | None, typer.Option(min=1, help="Of a job; more than one train one experiment together.")] = (
        None
    )
    max_parallel: Annotated[int | None, typer.Option("--max-parallel", min=1, help="Jobs at once.")] = None
    sbatch: Annotated[list[str], typer.Option("--sbatch", metavar="NAME=VALUE", help="One more option of sbatch.")] = []


def _submission(*states: str) -> Callable[..., None]:
    """The verb that submits the experiments in these states."""

    @spread
    def verb(
        asked: Asked,
        wanted: Wanted,
        name: Name = None,
        method: Annotated[str | None, typer.Option(help="One method in place of a suite.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
        local: Annotated[
            bool, typer.Option("--local", help="In the background of this machine, without Slurm.")
        ] = False,
    ) -> None:
        if (name is None) == (method is None):
            raise UserError("name a SUITE (bench suite list), or --method and --dataset; one of the two")
        if method is not None and not asked.dataset:
            raise UserError("--method: on which data set? add --dataset (bench list)")
        options = {**wanted._asdict(), "sbatch": tuple(wanted.sbatch)}
        _submit(name or method or "", _suite(name, method, asked), asked.root, options, dry_run, local, *states)

    return verb


def _suite(name: str | None, method: str | None, asked: Asked) -> "tuple[Suite, Choice]":
    """The suite, or the one method as a suite, and the choice."""
    from benchmarks.suites.suite import Single

    return chosen(Single(method) if method is not None else name or "", asked)


verbs.command(
    "submit",
    help="Put what is missing of a suite, or of one method, on the cluster. What is done, queued or running is left alone.",
)(_submission("not run", "stopped", "stale"))
verbs.command(
    "retry",
    help="Submit again what failed, and nothing else; it goes on from its last checkpoint. Old logs are kept.",
)(_submission("failed"))


def _submit(
    name: str,
    asked: "tuple[Suite, Choice]",
    root: Path | None,
    options: dict[str, Any],
    dry_run: bool,
    local: bool,
    *wanted: str,
) -> None:
    from benchmarks.runs import records
    from benchmarks.scheduling.jobs import PACK, unpacked
    from slurm.ledger import Ledger
    from slurm.resources import resolve
    from slurm.submission import scripts

    resources = resolve(options)
    _ = resources.minutes  # a time that is none is refused before anything else
    ledger = Ledger(results_dir())
    if dry_run:
        planned, states, _ = _looked(asked, root, ledger)
        missing = [each for each, state in zip(planned, states, strict=True) if state.word in wanted]
        for each in missing:
            print(title_of(each))
        packs_first = unpacked(missing) if resources.scratch and not local else []
        for data in packs_first:
            print(f"{PACK}{data}, for which the others wait")
        print(f"\n{len(missing)} jobs{_hours(missing, resources.gpus, resources.nodes)}; {_left_alone(states, wanted)}")
        if missing and not local:
            after = [f"JOB_OF_{PACK}{data}".replace(" ", "_") for data in packs_first]
            before = scripts(len(packs_first), _lone(resources), "bench-pack")
            print("\n" + "\n".join((*before, *scripts(len(missing), resources, f"bench-{name}", after))))
        return
    with ledger.lock():
        planned, states, known = _looked(asked, root, ledger)
        if known is None:
            raise JobError("the queue does not answer, and something was submitted before; try again when it does")
        pairs = [(each, state) for each, state in zip(planned, states, strict=True) if state.word in wanted]
        missing = [each for each, _ in pairs]
        stale = [records.RunFolder(results_dir() / state.record["name"]) for _, state in pairs if state.record]
        if missing:
            with records.forgotten(stale):  # here: a job that is queued again must not forget what it has done since
                _put(missing, name, asked[1].description, root, resources, local, known, ledger)
    print(f"{len(pairs)} jobs submitted; {_left_alone(states, wanted)}")
    words = (name, *asked[1].options) if name in SUITES.entries else ()
    print(f"results in {results_dir()}; `{shlex.join(('bench', 'status', *words))}` shows how they do")


def _put(
    missing: "Sequence[Planned]",
    name: str,
    said: str,
    root: Path | None,
    resources: "Resources",
    local: bool,
    known: "Mapping[str, Any]",
    ledger: "Ledger",
) -> None:
    """Submit experiments, and before them what packs their data where a site has node-local disks.

    said: what makes them others than their titles say; known: the jobs that are not over. Of what is refused nothing stays: no
    job that packs for nobody, no copy of the code.
    """
    from benchmarks.scheduling.jobs import freeze, packing_tasks, variables
    from slurm.ledger import Task
    from slurm.submission import submit as submit_tasks

    codes, entries = (ledger.place / "code").absolute(), ledger.entries()
    copies = set(codes.glob("*"))
    frozen = freeze(missing, codes)
    environment, after, packing_now = variables(frozen.folder), [], []
    tasks = [
        Task(
            each.experiment.request_hash,
            title_of(each) + (f" ({said})" if said else ""),
            frozen.command(each.arguments),
        )
        for each in missing
    ]
    try:
        if resources.scratch and not local:
            environment["BENCH_SCRATCH"] = resources.scratch
            packs = packing_tasks(missing, frozen, root)
            under_way = {each.key for each in entries.values() if each.job in known}
            needed = [task for task in packs if task.key not in under_way]
            if needed:
                packing_now = submit_tasks(needed, ledger, _lone(resources), environment, "bench-pack", local)
            now = ledger.entries()
            after = [now[task.key].job for task in packs]
        submit_tasks(tasks, ledger, resources, environment, f"bench-{name}", local, after)
    except JobError:
        _end(packing_now, ledger)
        taken = {each.job for each in ledger.entries().values()} - {each.job for each in entries.values()} - {""}
        if not taken and frozen.folder not in copies:
            shutil.rmtree(frozen.folder)
        raise


def _lone(resources: "Resources") -> "Resources":
    """What packs a data set wants."""
    return replace(resources, gpus=0, nodes=1)


def _hours(missing: "Sequence[Planned]", gpus: int, nodes: int) -> str:
    """What the jobs will take by the speed of records like them, made on a GPU where they ask for one.

    Several processes share a run, and are taken to share it well.
    """
    from benchmarks.runs import records
    from benchmarks.scheduling.estimate import made_on, seconds, spelled

    found = made_on(records.finished(results_dir()), bool(gpus))
    spans = [seconds(each.experiment, found) for each in missing]
    known = [span for span in spans if span is not None]
    if not known:
        return f", of unknown time: nothing like them has run here{' on a GPU' * bool(gpus)}" if missing else ""
    total = sum(known) * len(spans) / len(known)
    cost = f", {total / 3600:.1f} GPU hours" if gpus else ""
    return f", about {spelled(total / (max(gpus, 1) * nodes))} one after the other{cost}, by recorded frames/s"


def _left_alone(states: "Sequence[State]", wanted: Sequence[str]) -> str:
    counts = Counter(state.word for state in states if state.word not in wanted)
    words = ", ".join(f"{count} {word}" for word, count in counts.items())
    again = "; `bench retry` submits failed ones again" if counts["failed"] else ""
    return f"left alone: {words}{again}" if words else "nothing left alone"


def _looked(
    asked: "tuple[Suite, Choice]", root: Path | None, ledger: "Ledger"
) -> "tuple[list[Planned], list[State], dict[str, Any] | None]":
    """The experiments, their states by records and queue, and the jobs that are not over (None: no answer)."""
    from benchmarks.scheduling.queue import with_jobs
    from benchmarks.scheduling.states import here

    planned = planned_of(*asked)
    jobs = jobs_of(ledger)
    return planned, with_jobs(here(results_dir(), root), ledger, jobs)(planned), jobs


@verbs.command()
@spread
def status(
    asked: Asked,
    name: Name = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again every few seconds, until Ctrl-C.")] = False,
) -> None:
    """How each experiment of a suite does, or each that was submitted: from its own records first, then from the queue."""
    from tabulate import tabulate

    from slurm.ledger import Ledger

    while True:
        ledger = Ledger(results_dir())
        if name is None:
            rows = _submitted(ledger)
        else:
            planned, states, _ = _looked(chosen(name, asked), asked.root, ledger)
            rows = [(title_of(each), state) for each, state in zip(planned, states, strict=True)]
        if not rows:
            print("nothing was submitted; `bench submit SUITE`, or `bench status SUITE` for what lies here")
            return
        cells = [(title, state.word, state.detail) for title, state in rows]
        text = tabulate(cells, ("experiment", "state", ""), disable_numparse=True)
        counts = Counter(state.word for _, state in rows)
        print(("\033[2J\033[H" if watch else "") + text)
        print(f"\n{len(rows)} experiments: " + ", ".join(f"{count} {word}" for word, count in counts.most_common()))
        if not watch:
            return
        try:
            time.sleep(5)
        except KeyboardInterrupt:
            return


def _submitted(ledger: "Ledger") -> "list[tuple[str, State]]":
    """Everything in the ledger, with its state."""
    from benchmarks.data.loading import is_packed
    from benchmarks.scheduling.jobs import PACK
    from benchmarks.scheduling.queue import with_queue
    from benchmarks.scheduling.states import DONE, State, by_request

    entries = ledger.entries()
    jobs, known = jobs_of(ledger), by_request(results_dir())
    known |= {key: State(DONE) for key in entries if key.startswith(PACK) and is_packed(key.removeprefix(PACK))}
    return [
        (entry.title, with_queue(known.get(key, State("not run")), entry, jobs, ledger.place))
        for key, entry in entries.items()
    ]


def _named(text: str, ledger: "Ledger", alone: bool = False) -> "list[Entry]":
    """The submissions that `text` names: a job, a title or a run's name; where none is just so, those that it is part of.

    Raises:
        UserError: none; or, where one is meant `alone`, several.
    """
    from benchmarks.runs.unfinished import begun_in

    entries = ledger.entries()
    names = {begun.request_hash: folder.path.name for folder, begun in begun_in(results_dir())}
    exact = [
        entry
        for key, entry in entries.items()
        if text and text in (entry.job, entry.job.partition("_")[0], entry.title, names.get(key))
    ]
    found = exact or [
        entry for key, entry in entries.items() if text and (text in entry.title or text in names.get(key, ""))
    ]
    if alone and len(found) > len(exact) and len(found) > 1:
        raise UserError(
            f"{text!r} is part of {len(found)}: {'; '.join(each.title for each in found)}; name one, or --all"
        )
    if not found:
        raise UserError(
            f"nothing that was submitted is called {text!r}; {nearest(text, [e.title for e in entries.values()])}"
        )
    return found


@verbs.command()
def logs(run: Annotated[str, typer.Argument(metavar="RUN", help="Part of its title or name, or its job.")]) -> None:
    """What the processes of an experiment's job printed and complained, of its last submission."""
    from slurm.ledger import Ledger

    ledger = Ledger(results_dir())
    for entry in _named(run, ledger):
        print(f"== {entry.title}, job {entry.job or 'cancelled'}, submitted {entry.time}")
        for file in entry.logs(ledger.place):
            if file.stat().st_size:
                print(f"-- {file}\n{file.read_text(errors='replace')}", end="")


@verbs.command()
def cancel(
    what: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A title or name, or what none other has of one; or a job.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every job that was submitted and is not over.")] = False,
) -> None:
    """End jobs that are queued or running; what they have done stays, and `bench submit` goes on from there."""
    from slurm import queue
    from slurm.ledger import Ledger

    if (what is None) != everything:
        raise UserError("name what to cancel, or --all; `bench status` shows what there is")
    ledger = Ledger(results_dir())
    with ledger.lock():
        named = list(ledger.entries().values()) if what is None else _named(what, ledger, alone=True)
        jobs = queue.live(named)
        ended = [entry for entry in named if entry.job in jobs]
        _end(ended, ledger)
    print(f"{len(ended)} jobs cancelled")
    for entry in ended:
        print(f"  {entry.title}")


def _end(entries: "list[Entry]", ledger: "Ledger") -> None:
    """Cancel jobs, and note it."""
    from slurm import queue
    from slurm.ledger import now

    queue.cancel(entries)
    ledger.add([replace(entry, job="", time=now()) for entry in entries])


@verbs.command()
def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Do it, after saying what.")] = False,
) -> None:
    """Remove what nobody needs: checkpoints of finished runs, half-written files, folders of runs that failed and have nothing
    to go on from, copies of code that no job will run. The last two only while no job waits or runs."""
    from benchmarks.atomic import leftovers
    from benchmarks.runs import records
    from slurm.ledger import Ledger

    place = results_dir()
    ledger = Ledger(place)
    # Nobody submits meanwhile what needs a copy of the code.
    with ledger.lock() if ledger.place.exists() else nullcontext():
        found, jobs = [], jobs_of(ledger)
        for folder in map(records.RunFolder, sorted(place.glob("*/"))):
            if not folder.held and jobs == {} and folder.hollow:
                found.append(folder.path)
            elif not folder.held:
                found += leftovers(folder.path)
                found += [
                    file for file in (folder.checkpoint, folder.failure) if file.exists() and folder.record.exists()
                ]
        found += leftovers(place)
        if jobs == {}:
            found += list((ledger.place / "code").glob("*")) + list((ledger.place / "code").glob(".half-*"))
        for file in found:
            size = (
                file.stat().st_size if file.is_file() else sum(f.stat().st_size for f in file.rglob("*") if f.is_file())
            )
            print(f"{'removed' if yes else 'would remove'}: {file} ({size / 1e6:.1f} MB)")
            if yes and records.RunFolder(file).hollow:
                with records.RunFolder(file).lock():  # not under a run that has begun meanwhile
                    shutil.rmtree(file)
            elif yes:
                shutil.rmtree(file) if file.is_dir() else file.unlink()
        print(f"{len(found)} to remove" + ("" if yes or not found else "; --yes does it"))
