"""Changes to the code that tests must notice ("mutants"): what became of each, and why no test notices some.

`mutmut results --all true | python -m benchmarks.reliability.mutants` adds the states of a run to results/measured/mutants.txt.
"""

import csv
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tabulate import tabulate

STATES = Path("results/measured/mutants.txt")  # as `mutmut results` prints them
SURVIVORS = Path("results/measured/mutants-survived.csv")
NOTICED, UNNOTICED = ("killed", "timeout"), ("survived", "no tests")


def read_states(lines: Iterable[str]) -> dict[str, str]:
    """The state of each change, by mutmut's name for it."""
    return dict(line.strip().split(": ") for line in lines)


def add_states(before: dict[str, str], run: dict[str, str]) -> dict[str, str]:
    """The states of the changes of a run; one that it did not try keeps its state from before."""
    return {name: before.get(name, state) if state == "not checked" else state for name, state in run.items()}


def survivors() -> list[dict[str, str]]:
    """The changes that no test notices: `mutant`, its name; `change`, the new code; and the `reason`."""
    with SURVIVORS.open(newline="") as file:
        return list(csv.DictReader(file))


def by_file() -> str:
    """The table of changes, one row for each file: how many were tried, and how many the tests notice."""
    files: dict[str, Counter[str]] = defaultdict(Counter)
    for name, state in read_states(STATES.read_text().splitlines()).items():
        files[re.split(r"\.x[_ǁ]", name)[0].replace(".", "/") + ".py"][state] += 1
    rows = []
    for file, states in sorted(files.items()):
        noticed = sum(states[state] for state in NOTICED)
        tried = states.total() - states["not checked"]
        share = f"{100 * noticed / tried:.0f}%" if tried else ""
        rows.append([file, f"{states.total():,}", f"{tried:,}", f"{noticed:,}", share])
    return tabulate(rows, ("file", "changes", "tried", "noticed", ""), "github")


def by_reason() -> str:
    """The table of the changes that no test notices, one row for each reason."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for each in survivors():
        reasons[each["reason"]].append(each["change"])
    rows = [[reason, len(changes), f"`{min(changes, key=len)}`"] for reason, changes in sorted(reasons.items())]
    return tabulate(rows, ("not noticed by the fast tests:", "changes", "for example"), "github")


def main() -> None:
    """Add the states that standard input lists to the file."""
    run = read_states(sys.stdin)
    if not run:
        sys.exit(f"no states on standard input; {STATES} is left as it is")
    states = add_states(read_states(STATES.read_text().splitlines()), run)
    STATES.write_text("".join(f"    {name}: {state}\n" for name, state in states.items()))


if __name__ == "__main__":
    main()
