"""The harness: data sets, training, evaluation, records and reports. In a notebook:

from benchmarks import add_plugin, load_runs, run, table, verdict
"""

from .api import add_plugin, load_runs, run, table, verdict

__all__ = ["add_plugin", "load_runs", "run", "table", "verdict"]
