"""The interfaces that a model implements. Plug-ins import them from here:

from baselines.interface import Baseline, Clips, register
"""

from importlib import import_module
from typing import Any

# Each public name and the module of this package that defines it. A module is imported when its name is first used, so that code
# that needs only the registry or the error does not wait for torch.
_PUBLIC = {
    **{"Baseline": "baseline", "Clips": "baseline"},
    **{"Backbone": "backbone", "TemporalLayer": "backbone"},
    "Matcher": "matcher",
    **{"Registry": "registry", "register": "registry"},
    "UserError": "errors",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
