"""The measured reliability, as tables of docs/reliability.md."""

import json
from pathlib import Path
from typing import Any

from tabulate import tabulate

FILE = Path("results/measured/reliability.json")
GROUPS = ("killed", "broken", "power cut", "at once")


def disturbances(group: str) -> str:
    """The table of one group: what was done, how often, and what was lost."""
    rows = [
        [each["what"], each["skipped"] or f"{each['tried']:,}", _ended(each["counts"]), _lost(each["faults"])]
        for each in _measured()[group]
    ]
    head = ["", "times", "counts", "lost or wrong"]
    if not any(row[2] for row in rows):
        head, rows = [*head[:2], head[3]], [[*row[:2], row[3]] for row in rows]
    return tabulate(rows, head, "github")


def _ended(counts: dict[str, int]) -> str:
    return ", ".join(f"{way}: {times:,}" for way, times in counts.items() if times)


def inputs(group: str = "inputs") -> str:
    """The table of damaged files, one row for each reader; "guided": of those that the search by coverage found."""
    rows = []
    for each in _measured().get(group, []):
        counts = each["counts"]
        numbers = [f"{counts.get(way, 0):,}" for way in ("refused", "equal", "accepted", "fault")]
        rows.append([each["what"], f"{each['tried']:,}", *numbers])
    header = ("file", "inputs", "refused by name", "same result", "result that a second check accepts", "faults")
    return tabulate(rows, header, "github")


def faults() -> str:
    """Every kind of fault that is open."""
    groups = _measured()
    found = [
        f"- {each['what']}: {fault}"
        for group in (*GROUPS, "inputs", "guided")
        for each in groups.get(group, [])
        for fault in each["faults"]
    ]
    return "\n".join(found) or "No fault is open."


def made() -> str:
    """When, by which code and on what machine."""
    made = _measured()["made"]
    return f"Measured on {made['date']} at commit {made['commit']}, {made['cpu']}, {made['seconds'] / 60:.0f} minutes."


def _measured() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text()))


def _lost(faults: list[str]) -> str:
    return "nothing" if not faults else f"{len(faults)}; see below"
