"""Finished runs on the screen, as several verbs print them."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from baselines.interface.errors import UserError
from benchmarks.paths import results_dir

if TYPE_CHECKING:
    from benchmarks.runs.finished import Found
    from benchmarks.scheduling.states import Look
    from benchmarks.suites.suite import Choice, Suite
    from slurm.ledger import Ledger
    from slurm.queue import Live


def digests_at_hand(found: list[dict]) -> dict[str, set[str]]:
    """The digests of the data at hand that the records speak of, as far as it was read here before."""
    from benchmarks.data.loading import known_digests

    experiments = [record["experiment"] for record in found]
    wanted = {
        pair for each in experiments for pair in ((each["dataset"], each["split"]), (each["test"], each["test_split"]))
    }
    known = {f"{name}/{split}": known_digests(name, split) for name, split in wanted}
    return {key: digests for key, digests in known.items() if digests}


def runs_found(names: Sequence[str], datasets: Collection[str], files: Sequence[Path]) -> "list[Found]":
    """The runs that a command names: all that are finished, or those of files; of those names, tested on those data sets.

    Raises:
        UserError: there are none.
    """
    from benchmarks.runs import records
    from benchmarks.runs.finished import Found, below, in_file

    if names and not files:
        found = [Found(record, folder) for folder, record in (records.find(name, results_dir()) for name in names)]
    else:
        found = [run for file in files for run in in_file(file)] if files else below(results_dir())
        wanted = {run.name for run in found for name in names if run.name.startswith(name) or run.name.endswith(name)}
        found = [run for run in found if not names or run.name in wanted]
    found = [run for run in found if not datasets or run.experiment.test in datasets]
    if not found:
        place = ", ".join(map(str, files)) or results_dir()
        called = f" {' or '.join(names)}" if names else ""
        where = f" on {' or '.join(datasets)}" if datasets else ""
        raise UserError(f"no finished runs{called} in {place}{where}")
    return found


def jobs_of(ledger: "Ledger") -> "dict[str, Live] | None":
    """The jobs of a ledger that are not over; None, with a line on the screen, where the queue does not answer."""
    from slurm import JobError
    from slurm.queue import live

    try:
        return live(ledger.entries().values())
    except JobError as error:
        print(f"bench: {error}", file=sys.stderr)
        return None


def check_choices(style: str, feature: str) -> None:
    """Raise a UserError for a format or feature that there is not."""
    from benchmarks.reporting.grid import STYLES
    from benchmarks.reporting.table import FEATURES

    if style not in STYLES:
        raise UserError(f"--format {style}: choose {', '.join(STYLES)}")
    if feature not in FEATURES:
        raise UserError(f"--feature {feature}: choose {', '.join(FEATURES)}")


def print_tables(
    found: list[dict],
    protocol: str | None = None,
    style: str = "terminal",
    feature: str = "before",
    *,
    from_file: bool = False,
) -> None:
    """The tables of the records, under the protocol named or each data set's first.

    Those of a file are shown as they are, whatever code and data are here; those of the results here may be stale.
    """
    from benchmarks.reporting.table import page, tables

    check_choices(style, feature)
    made = tables(found, protocol, None if from_file else digests_at_hand(found), feature)
    if not made:
        raise UserError(f"--protocol {protocol}: none of the runs has it")
    print(page(made, style))


def suite_page(
    suite: "Suite",
    choice: "Choice",
    files: list[Path],
    root: Path | None,
    protocol: str | None,
    feature: str,
    style: str,
) -> str:
    """A suite's table: from exported files' records, or from the results here and what is under way."""
    from benchmarks.reporting.grid import page
    from benchmarks.reporting.suite_table import counted, grids
    from benchmarks.runs import exchange
    from benchmarks.scheduling.states import from_records

    if suite.paper == "table1":
        return page(counted(suite, choice, root), style)
    look = from_records([record for file in files for record in exchange.exported(file)]) if files else look_here(root)
    return page(grids(suite, choice, look, protocol, feature), style)


def look_here(root: Path | None = None) -> "Look":
    """A function that gives the states of planned experiments in the results here, and in the queue."""
    from benchmarks.scheduling.queue import with_jobs
    from benchmarks.scheduling.states import here
    from slurm.ledger import Ledger

    ledger = Ledger(results_dir())
    return with_jobs(here(results_dir(), root), ledger, jobs_of(ledger))
