"""`python -m benchmarks.reliability`: inject faults, and write what was lost to results/measured/reliability.json.

The exit status is 1 if anything was lost, wrong, or ended as a fault of the program.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.runs import environment

from .broken import fill_disk, fill_disk_in_each_phase, kill_workers, set_clock_back, turn_read_only
from .child import Folders
from .concurrent import draw_at_once, draw_in_pid_namespaces, finish_at_once, start_same_run
from .fuzz import fuzz
from .guided import search
from .killed import kill_runs
from .outcome import Outcome, Undisturbed, undisturbed, warm_up
from .power_cut import check_order, cut_power
from .readers import READERS
from .report import FILE

KEEP = Path("build/reliability")  # inputs that led to a fault


def main() -> int:
    """Run all attacks of the groups that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="the fraction of the kills, processes and inputs to try"
    )
    parser.add_argument(
        "--only", action="append", choices=list(_groups(Path(), 1, 0, None)), help="one group of attacks; with --to"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of the damaged inputs")
    parser.add_argument(
        "--guided",
        type=int,
        metavar="SECONDS",
        help="also search this long, for each reader, for a file that it misreads",
    )
    parser.add_argument("--to", type=Path, help=f"the file to write; of all groups: {FILE}")
    options = parser.parse_args()
    if options.only and options.to is None:
        parser.error(f"--only needs --to FILE, because {FILE} holds all groups")
    if "guided" in (options.only or []) and not options.guided:
        parser.error("--only guided needs --guided SECONDS")
    began = time.monotonic()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before the fork: a process that has used a GPU cannot be forked
    git = environment.git_state()
    with tempfile.TemporaryDirectory() as folder:
        warm_up(Folders(Path(folder, "warm-up", "runs"), Path(folder, "warm-up", "cache")))
        gc.freeze()  # what is imported is shared with all forked processes
        groups = {
            name: [_told(outcome) for outcome in attacks()]
            for name, attacks in _groups(Path(folder), options.scale, options.seed, options.guided).items()
            if name in (options.only or [name])
        }
    made = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": git.short if git else "unknown",
        "cpu": environment.describe().cpu,
        "seconds": round(time.monotonic() - began),
        "scale": options.scale,
    }
    found = {name: [asdict(outcome) for outcome in outcomes] for name, outcomes in groups.items()}
    (options.to or FILE).write_text(json.dumps({"made": made, **found}, indent=1) + "\n")
    return int(any(outcome.faults for outcomes in groups.values() for outcome in outcomes))


def _groups(folder: Path, scale: float, seed: int, guided: int | None) -> dict[str, Callable[[], Iterator[Outcome]]]:
    def times(full: int) -> int:
        return max(1, round(scale * full))

    def expected(group: str) -> Undisturbed:
        return undisturbed(Folders(folder / group / "runs", folder / group / "cache"))

    def killed() -> Iterator[Outcome]:
        yield from kill_runs(expected("undisturbed-1"), times(20), folder, seed)

    def broken() -> Iterator[Outcome]:
        whole = expected("undisturbed-2")
        yield fill_disk(whole, times(40), folder)
        yield fill_disk_in_each_phase(whole, times(4), folder)
        yield turn_read_only(whole, folder)
        yield kill_workers(whole, times(10), folder)
        yield set_clock_back(whole, folder)

    def power_cut() -> Iterator[Outcome]:
        yield check_order(folder)
        yield from cut_power(expected("undisturbed-4"), times(4), folder, seed)

    def at_once() -> Iterator[Outcome]:
        yield finish_at_once(times(64), folder)
        yield start_same_run(expected("undisturbed-3"), max(2, times(8)), folder)
        yield draw_at_once(max(2, times(4)), folder)
        yield draw_in_pid_namespaces(max(2, times(4)), folder)

    def inputs() -> Iterator[Outcome]:
        for number, reader in enumerate(READERS):
            yield fuzz(reader, times(10_000), folder / f"reader-{number}", KEEP, seed * 1_000_000)

    def searched() -> Iterator[Outcome]:
        for number, reader in enumerate(READERS if guided else []):
            yield search(reader, guided or 0, folder / f"guided-{number}", KEEP)

    return {
        "killed": killed,
        "broken": broken,
        "power cut": power_cut,
        "at once": at_once,
        "inputs": inputs,
        "guided": searched,
    }


def _told(outcome: Outcome) -> Outcome:
    """The outcome, after a line on stderr."""
    print(f"{outcome.what}: {outcome.skipped or outcome.tried}, {len(outcome.faults)} faults", file=sys.stderr)
    for fault in outcome.faults[:5]:
        print(f"  {fault}", file=sys.stderr)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
