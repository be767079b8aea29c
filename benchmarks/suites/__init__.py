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

# How often each row of a suite runs by default, over all seeds and splits. With fewer than ten, Student's t has so few degrees
# of freedom that most effects stay undecided.
REPETITIONS = 10
# The same for a suite with claims fixed beforehand: as many as `bench plan table4 --quick --dataset walkers` asks for to find an
# effect of one point of mAP.
PLANNED_REPETITIONS = 32
# The same for the suites of published systems: the fewest with which the meta-analysis can tell the differences between systems
# from those between seeds.
SYSTEMS_REPETITIONS = 3
