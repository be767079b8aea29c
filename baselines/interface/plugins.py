"""Plug-ins: a user's Python files that register more baselines, data sets or suites."""

import importlib.util
import re
import sys
import traceback
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import UserError
from .registry import Registry, entries_of_class

MODULE_PREFIX = "plugin_"
_sources: dict[str, bytes] = {}  # what the imported plug-ins' files held then, by module


def add_plugin(file: Path, registries: Iterable[Registry]) -> None:
    """Import a plug-in file and add each registered class in it to the registry whose base class it is a subclass of.

    Classes without `@register`, and those imported from elsewhere, are ignored.

    Raises:
        UserError: the file cannot be imported, registers nothing, or registers a class that fits no registry.
    """
    registries = tuple(registries)
    file = file.absolute()
    registered = _registered(import_plugin(file))
    bases = _either(registry.base_name for registry in registries)
    if not registered:
        kinds = _either(registry.kind for registry in registries)
        raise UserError(f'--plugin {file}: registers no {kinds}; put @register("NAME") above a subclass of {bases}')
    for attribute, item in registered.items():
        fitting = [registry for registry in registries if registry.accepts(item)]
        if not fitting:
            raise UserError(f"{file}: {attribute} has @register but is not a subclass of {bases}")
        for registry in fitting:
            registry.add(entries_of_class(item, file, attribute))


def import_plugin(file: Path) -> ModuleType:
    """The module of a plug-in file, which is run once.

    Raises:
        UserError: it cannot be read or run; the message names the file and, where there is one, the line.
    """
    name = _module_name(file)
    if name in sys.modules:
        if file.read_bytes() != _sources[name]:
            raise UserError(f"--plugin {file}: has changed since it was imported; start Python again")
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"--plugin {file}: not a Python file; its name must end in .py")
    if not file.is_file():
        raise UserError(f"--plugin {file}: {'not a file' if file.exists() else 'no such file'}")
    _sources[name] = file.read_bytes()
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]  # a module that is only half imported must not be found again
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UserError(f"{_place(error, file)}: {_reason(error)}") from error
    return module


def plugin_at_fault(error: BaseException) -> str | None:
    """`FILE, line N` of the plug-in whose code raised `error`, or `FILE, class C` of the one whose class the error names.

    None where no plug-in is to blame.
    """
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__", "").startswith(MODULE_PREFIX):
            return f"{frame.f_code.co_filename}, line {line}"
    # None of its code ran: the class cannot be constructed, or lacks what the harness needs.
    for name, module in list(sys.modules.items()):
        for item in vars(module).values() if name.startswith(MODULE_PREFIX) else ():
            if isinstance(item, type) and item.__module__ == name and re.search(rf"\b{item.__name__}\b", str(error)):
                return f"{module.__file__}, class {item.__name__}"
    return None


def _module_name(file: Path) -> str:
    """Distinct for plug-ins of the same file name in different folders."""
    return f"{MODULE_PREFIX}{file.stem}_{zlib.crc32(bytes(file.absolute())):08x}"


def _registered(module: ModuleType) -> dict[str, Any]:
    """What has `@register` in the module itself, by its name there. What has two names there is returned once."""
    marked = {name: item for name, item in vars(module).items() if "registered_names" in getattr(item, "__dict__", {})}
    own = {id(item): name for name, item in marked.items() if item.__module__ == module.__name__}
    return {name: marked[name] for name in own.values()}


def _place(error: BaseException, file: Path) -> str:
    """The line of the plug-in file at which its import failed."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{file}, line {error.lineno or 1}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f"{file}, line {lines[-1]}" if lines else str(file)


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"exits when it is imported (status {error.code}); keep what it runs below `if __name__ == '__main__':`"
    message = error.msg if isinstance(error, SyntaxError) else str(error).partition("\n")[0]
    return message if isinstance(error, UserError) else f"{type(error).__name__}: {message}"


def _either(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last
