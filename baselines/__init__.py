"""The temporal baselines under comparison, one file each.

`BASELINES` lists them without importing torch. `BASELINES.get(name)` imports the file of one.
"""

from pathlib import Path

from baselines.interface.registry import Registry

BASELINES = Registry("baseline", Path(__file__).parent, __name__, base="baselines.interface.baseline:Baseline")
