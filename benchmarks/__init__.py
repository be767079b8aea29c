"""The harness: data sets, training, evaluation, records and reports. In a notebook:

from benchmarks import load_runs, run, table, verdict
"""

from .api import load_runs, run, table, verdict

__all__ = ["load_runs", "run", "table", "verdict"]
