"""Suites: named lists of experiments, a table or figure each; a file here holds those that belong together.

A plug-in file may hold more of them (`--plugin FILE.py`), as with baselines and data sets.
"""

from pathlib import Path

from baselines.interface.registry import Registry

SUITES = Registry("suite", Path(__file__).parent, __name__, base="benchmarks.suites.suite:Suite")
