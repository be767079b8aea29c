"""Suites: named lists of experiments, one for each table or figure. A plug-in file may add more (`--plugin FILE.py`)."""

from pathlib import Path

from baselines.interface.registry import Registry

SUITES = Registry("suite", Path(__file__).parent, __name__, base="benchmarks.suites.suite:Suite")
# The claims of plug-ins. Those of the project are a table in claims.py, so this folder does not exist.
COMPARISONS = Registry(
    "claim",
    Path(__file__).parent / "comparisons",
    f"{__name__}.comparisons",
    base="benchmarks.suites.claims:Comparison",
)

SEEDS = 10  # of a suite by default: fewer leave Student's t so few degrees of freedom that most effects stay undecided
# Of a suite with claims fixed beforehand: as many as the plan of table4 on `walkers` asks for, to find one point of mAP.
PLANNED_SEEDS = 32
# Of a suite that asks about many systems: they differ more than seeds do, as docs/systems.md shows.
SYSTEMS_SEEDS = 3
