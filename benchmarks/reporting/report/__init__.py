"""`bench report`: a static site of the finished runs. It opens from a file, needs no network, and can be read without JavaScript.

contents: tables, verdict and figures as data; pages, run_page: HTML pages; html_tables, charts: parts of pages; html: escaped
elements; assets: one CSS and one JS file.
"""

import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from benchmarks.atomic import naming, write_atomically
from benchmarks.reporting import drawing, gallery
from benchmarks.reporting.figures import forest
from benchmarks.reporting.verdict import judge
from benchmarks.runs.finished import FinishedRun
from benchmarks.runs.staleness import shows_excluded, stale_reasons
from benchmarks.scheduling.states import FindStates

from . import contents, pages
from .html import ASSETS
from .run_page import run_page


def write(
    runs: Sequence[FinishedRun],
    to: Path,
    digests: dict[str, set[str]] | None,
    find_states: FindStates,
    progress: Callable[[int, int], None],
    images: bool = True,
    start: Callable[[], object] | None = None,
) -> Path:
    """Write the site to the folder `to`, over an earlier report; returns the page to open.

    Args:
        digests: of the data on this machine, as `stale_reasons` takes them; None: no run is marked as stale.
        find_states: gives the states of planned experiments, for the tables of suites.
        progress: called with (done, total) pages of runs.
        images: whether the site shows frames of the data sets, in the strips that `bench gallery` drew.
        start: called first in each process that writes pages: they know no plug-ins.
    """
    for part in ("runs", "figures"):
        shutil.rmtree(to / part, ignore_errors=True)
    for page in (*to.glob("tables-*.html"), *to.glob("runs-*.html")):
        page.unlink()
    to.mkdir(parents=True, exist_ok=True)
    for asset in ASSETS.iterdir():
        with naming(to / asset.name):
            shutil.copyfile(asset, to / asset.name)
    stale = {run.name: [] if digests is None else stale_reasons(run.record, digests) for run in runs}
    current = [run for run in runs if not stale[run.name]]
    drawn = contents.drawn_figures(current)
    # Other processes draw the figures and write the pages of the runs. They are not forked from this one, because threads do not
    # survive a fork.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), context, start) as executor:
        saved = [executor.submit(drawing.save, each, to / "figures") for each in drawn]
        written = []
        for run in runs:
            shown = run.folder if run.folder and not shows_excluded(run.record) else None
            strips = gallery.copy(shown.gallery, to / "runs" / run.name, images) if shown else None
            written.append(executor.submit(_write_run, to / "runs" / f"{run.name}.html", run, strips, stale[run.name]))
        sections = [*contents.suite_tables(runs, find_states), *contents.result_tables(runs, digests)]
        claims = judge(current)
        judged = [forest.forest(claims), *contents.not_empty([forest.families(claims)])]
        drawn = [*judged, *drawn]
        saved += [executor.submit(drawing.save, each, to / "figures") for each in judged]
        _write(to / "figures.html", pages.all_figures(drawn))
        for name, text in (pages.all_tables(sections, drawn) | pages.all_runs(runs)).items():
            _write(to / name, text)
        for done, each in enumerate(written, 1):
            each.result()
            progress(done, len(runs))
        for figure in saved:
            figure.result()
    write_atomically(to / "index.html", pages.overview(runs, current, claims, sections, drawn))
    return to / "index.html"


def _write_run(file: Path, run: FinishedRun, strips: "gallery.Lists | None", reasons: list[str]) -> None:
    with redirect_stderr(StringIO()):  # the figures were drawn from the same files: what is damaged has been reported
        text = run_page(run, strips, reasons)
    _write(file, text)


def _write(file: Path, text: str) -> None:
    """Not atomically, for speed: only the page that is opened first is written atomically, and last."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with naming(file):
        file.write_text(text, encoding="utf-8")
