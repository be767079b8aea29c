"""`bench report`: a static site of what was measured. It opens from a file, asks no network, and reads without JavaScript.

contents: what it says; pages: its pages; charts: pictures on them; html: how HTML is written; assets: one CSS and one JS file.
"""

import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.atomic import write_atomically
from benchmarks.reporting import drawing, gallery
from benchmarks.runs import records
from benchmarks.runs.finished import Found
from benchmarks.scheduling.states import FindStates

from . import contents, pages
from .html import ASSETS


def write(
    runs: Sequence[Found],
    to: Path,
    digests: dict[str, set[str]] | None,
    look: FindStates,
    progress: Callable[[int, int], None],
) -> Path:
    """Write the site into the folder `to`, over what an earlier report left there; the page to open.

    Args:
        digests: of the data at hand, as `records.stale` takes them; None: whether a run is stale is not asked.
        look: gives the states of planned experiments, for the tables of suites.
        progress: called with (done, total) pages of runs.
    """
    for part in ("runs", "figures"):
        shutil.rmtree(to / part, ignore_errors=True)
    to.mkdir(parents=True, exist_ok=True)
    for asset in ASSETS.iterdir():
        shutil.copy(asset, to)
    drawn = contents.drawn_figures(runs)
    # Figures are drawn by another process beside the pages. It is not forked from this one, whose threads it would lack.
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as beside:
        saved = [beside.submit(drawing.save, figure, to / "figures") for figure in drawn]
        current = []
        for done, run in enumerate(runs, 1):
            strips = gallery.read(run.folder.gallery) if run.folder else None
            if strips and run.folder:
                (to / "runs" / run.name).mkdir(parents=True)
                for name in gallery.files(strips):
                    shutil.copy(run.folder.gallery / name, to / "runs" / run.name)
            reasons = [] if digests is None else records.stale(run.record, digests)
            current += [] if reasons else [run]
            _write(to / "runs" / f"{run.name}.html", pages.one_run(run, strips, reasons))
            progress(done, len(runs))
        sections = [*contents.suite_tables(runs, look), *contents.result_tables(runs, digests)]
        _write(to / "tables.html", pages.all_tables(sections))
        _write(to / "figures.html", pages.all_figures(drawn))
        for name, text in pages.all_runs(runs).items():
            _write(to / name, text)
        claims = contents.verdict(current)
        for each in saved:
            each.result()
    write_atomically(to / "index.html", pages.overview(runs, claims, sections, drawn))
    return to / "index.html"


def _write(file: Path, text: str) -> None:
    """As it is, without waiting for the disk: of a thousand pages only the first to be opened is written whole, and last."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
