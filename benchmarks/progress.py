"""Progress of long work: bars with the remaining time on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class ReportProgress(Protocol):
    """The function that long work calls after each step."""

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None: ...


SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def show_progress() -> Iterator[ReportProgress]:
    """Show progress on standard error: rich's bars on a terminal; otherwise a line when a phase starts, every 10 s, and when
    it ends."""
    if sys.stderr.isatty():
        yield from _bars()
    else:
        yield from _lines()


def _bars() -> Iterator[ReportProgress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    columns = (  # fit into 80 characters, except a long note, which continues on a second line
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("left", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=Column(ratio=1, overflow="fold")),
    )
    with Progress(*columns, console=Console(stderr=True), expand=True) as bars:
        tasks: dict[str, int] = {}

        def report(phase: str, done: int, total: int, note: str = "") -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total, note=note)
            elif done < bars.tasks[tasks[phase]].completed:  # the same phase of the next run
                bars.reset(tasks[phase])  # type: ignore[arg-type]
            bars.update(tasks[phase], completed=done, total=total, note=note)  # type: ignore[arg-type]

        yield report


def _lines() -> Iterator[ReportProgress]:
    start: dict[str, tuple[float, int]] = {}  # by phase: the time, and how much was done then
    last_line: dict[str, float] = {}
    last_done: dict[str, int] = {}

    def report(phase: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if done < last_done.get(phase, 0):  # the same phase of the next run
            del start[phase], last_line[phase]
        last_done[phase] = done
        start_time, done_before = start.setdefault(phase, (now, done))
        if phase in last_line and done < total and now - last_line[phase] < SECONDS_BETWEEN_LINES:
            return
        last_line[phase] = now
        left = (now - start_time) / (done - done_before) * (total - done) if done > done_before else None
        remaining = f", {left:.0f} s left" if left else ""
        print(f"{phase}: {done} of {total}{remaining}  {note}".rstrip(), file=sys.stderr, flush=True)

    yield report
