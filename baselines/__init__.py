"""The temporal baselines under comparison and the matchers that compare tracklets: two registries, one file each.

`BASELINES` and `MATCHERS` list names without importing torch; `BASELINES.get(name)` imports the file.
"""

from pathlib import Path

from baselines.interface.registry import Registry

BASELINES = Registry("baseline", Path(__file__).parent, __name__, base="baselines.interface.baseline:Baseline")
MATCHERS = Registry(
    "matcher", Path(__file__).parent / "matchers", f"{__name__}.matchers", base="baselines.interface.matcher:Matcher"
)
