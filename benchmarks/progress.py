"""What a user sees of long work: bars with the time left at a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Report(Protocol):
    """What long work calls as it goes on."""

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None: ...


LINE_SECONDS = 10.0


@contextmanager
def reporting() -> Iterator[Report]:
    """A Report for standard error: rich's bars at a terminal, else a line at a phase's begin, every 10 s, and at its end."""
    if sys.stderr.isatty():
        yield from _bars()
    else:
        yield from _lines()


def _bars() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    columns = (  # 80 characters hold all but a long note, which goes on in a second line
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
            elif done < bars.tasks[tasks[phase]].completed:  # the phase of another run
                bars.reset(tasks[phase])  # type: ignore[arg-type]
            bars.update(tasks[phase], completed=done, total=total, note=note)  # type: ignore[arg-type]

        yield report


def _lines() -> Iterator[Report]:
    began: dict[str, tuple[float, int]] = {}
    shown: dict[str, float] = {}
    last: dict[str, int] = {}

    def report(phase: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if done < last.get(phase, 0):  # the phase of another run
            del began[phase], shown[phase]
        last[phase] = done
        start, first = began.setdefault(phase, (now, done))
        if phase in shown and done < total and now - shown[phase] < LINE_SECONDS:
            return
        shown[phase] = now
        left = (now - start) / (done - first) * (total - done) if done > first else None
        rest = f", {left:.0f} s left" if left else ""
        print(f"{phase}: {done} of {total}{rest}  {note}".rstrip(), file=sys.stderr, flush=True)

    yield report
