"""The temporal baselines under comparison and the matchers that compare tracklets: two registries, one file each.

`BASELINES` and `MATCHERS` list names without importing torch; `BASELINES.get(name)` imports the file.
"""

from pathlib import Path

from baselines.interface.registry import Registry

BASELINES = Registry("baseline", Path(__file__).parent, __name__, base="baselines.interface.baseline:Baseline")
MATCHERS = Registry(
    "matcher", Path(__file__).parent / "matchers", f"{__name__}.matchers", base="baselines.interface.matcher:Matcher"
)


def order_readers() -> tuple[str, ...]:
    """The baselines that set `reads_order`: their embeddings depend on the order of frames or on flow. Sorted by name."""
    return tuple(name for name, entry in sorted(BASELINES.entries.items()) if entry.reads_order)
