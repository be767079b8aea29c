"""The temporal baselines under comparison: a registry, one file each.

`BASELINES` names them without importing torch; `BASELINES.get(name)` imports the file.
"""

from pathlib import Path

from baselines.interface.registry import Registry

BASELINES = Registry("baseline", Path(__file__).parent, __name__, base="Baseline")
