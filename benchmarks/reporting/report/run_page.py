"""The page of one run: results, curves, settings, origin, queries and ranked strips."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pandas as pd

from benchmarks.experiments.settings import changed_from_recipe
from benchmarks.reporting import gallery
from benchmarks.reporting.figures.curves import cmc, training
from benchmarks.reporting.figures.figure import LEVEL
from benchmarks.reporting.provenance import data_notes, recognition_notes
from benchmarks.reporting.show import ITEMS
from benchmarks.reporting.table import cell
from benchmarks.runs.finished import FinishedRun
from benchmarks.runs.record import RANKS, Record

from .charts import chart
from .html import Markup, el, page, pairs
from .html_tables import table

MOST_QUERIES = 200  # of the table on the page


def run_page(run: FinishedRun, strips: "gallery.Lists | None", stale: list[str]) -> str:
    """Everything about one run.

    Args:
        strips: the ranked lists that `bench gallery` wrote; their files are in NAME/ beside the page.
        stale: why the run is not current.
    """
    record, experiment = run.record, run.experiment
    datasets = experiment.dataset
    if experiment.test != datasets:
        datasets = f"{datasets}, evaluated on {experiment.test}"
    body = [
        el("p", el("a", "All runs", href="../runs.html"), class_="back"),
        el("h1", f"{experiment.method} on {datasets}"),
        el("p", f"Seed {experiment.seed}, split {experiment.split}, recipe {experiment.recipe}", class_="lead"),
        el("p", el("code", run.name)),
        [
            el("p", note, class_="note")
            for note in (*data_notes([record]), *recognition_notes([(experiment.method, [record])]))
        ],
        [el("p", f"Stale: {reason}", class_="warning") for reason in stale],
        el("h2", "Results"),
        table(_metrics(record), "Results"),
        el("h2", "Curves"),
        _curves(run),
        el("h2", "Settings"),
        _settings(record),
        el("h2", "Where it was made"),
        pairs(_origin(record)),
        el("h2", "Queries"),
        _queries(run),
        el("h2", "Ranked strips"),
        gallery.section(strips, f"{quote(run.name)}/") if strips else el("p", _no_strips(run), class_="note"),
    ]
    return page(run.name, body, current="Runs", up="../")


def _metrics(record: Record) -> pd.DataFrame:
    names = ["mAP", *(f"R{rank}" for rank in RANKS)]
    return pd.DataFrame(
        {"protocol used": row.protocol, "batch norm": row.feature}
        | {name: cell([row.percent(name)]) for name in names}
        | {"queries": row.queries, "unmatched": row.unmatched}
        for row in record.metrics
    )


def _curves(run: FinishedRun) -> Markup:
    ranks = [replace(panel, title=panel.y) for panel in cmc([run]).panels]
    charts = [chart(panel) for panel in (*training([run]).panels, *ranks)]
    note = f"Match by rank: protocol {run.record.first_protocol}; its band is the {LEVEL}."
    return el("div", el("div", charts, class_="charts"), el("p", note, class_="note"))


def _settings(record: Record) -> Markup:
    experiment = record.experiment
    changed = changed_from_recipe(experiment.recipe, experiment.method, experiment.settings) or {}
    values = {
        key: el("b", f"{value} (changed from the recipe)") if key in changed else value
        for key, value in sorted(experiment.settings.items())
    }
    return pairs(values)


def _origin(record: Record) -> dict[str, Any]:
    environment = record.environment
    facts: dict[str, Any] = {"finished": record.finished.isoformat(), "code": record.code[:16]}
    facts["commit"] = environment.commit
    facts |= {field: getattr(record.experiment, field)[:16] for field in ("data", "test_data", "weights")}
    facts |= environment.machine
    facts |= environment.packages
    if cost := record.cost:
        facts["parameters"] = f"{cost.parameters / 1e6:.2f} M"
        facts["multiply-adds per frame"] = f"{cost.multiply_adds / 1e9:.3f} G"
    facts |= {name: f"{phase.text} {ITEMS.get(name, 'frames')}/s" for name, phase in record.phases.items()}
    return facts | {f"peak memory, {kind}": f"{size / 2**30:.2f} GiB" for kind, size in record.peak_memory.items()}


def _queries(run: FinishedRun) -> Markup:
    rows = run.queries()
    if rows.empty:
        return el("p", "This run has no per-query results.", class_="note")
    worst = rows.sort_values(["average_precision", "query"], na_position="first").head(MOST_QUERIES)
    frame = pd.DataFrame(
        {
            "query": worst["query"],
            "person": worst.pid,
            "camera": worst.camid,
            "average precision": [
                "no match" if value != value else f"{100 * value:.1f}" for value in worst.average_precision
            ],
            "first right at rank": ["no match" if value != value else f"{value:.0f}" for value in worst.first_hit_rank],
        }
    )
    protocol = run.record.first_protocol
    summary = (
        f"All {len(rows)} queries"
        if len(rows) <= MOST_QUERIES
        else f"The worst {MOST_QUERIES} of {len(rows):,} queries"
    )
    kept = "" if len(rows) <= MOST_QUERIES else "; the run's queries.parquet has all of them"
    note = el("p", f"{summary}, worst first, under protocol {protocol}{kept}.", class_="note")
    return el("details", el("summary", summary), note, table(frame, "Queries"))


def _no_strips(run: FinishedRun) -> str:
    if run.folder is None or not run.folder.weights.exists():
        return "None: the weights of this run are not here."
    return f"None yet: bench gallery {run.name} draws them, and the next report shows them."
