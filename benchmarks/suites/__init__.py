"""Suites: named lists of experiments, one for each table or figure. A plug-in file may add more (`--plugin FILE.py`)."""

from pathlib import Path

from baselines.interface.registry import Registry

SUITES = Registry("suite", Path(__file__).parent, __name__, base="benchmarks.suites.suite:Suite")

SEEDS = 10  # of a suite by default: fewer leave Student's t so few degrees of freedom that most effects stay undecided
