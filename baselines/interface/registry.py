"""Names for the things under comparison, read from the source files so that listing them imports nothing.

A file enters a class or function under one or more names by a decorator with literal names:

    @register("lstm", "gru")
    class Recurrent(Baseline):
        \"\"\"Frame embeddings through a recurrent layer, outputs averaged.\"\"\"

The registry finds the decorator in the file's syntax tree, takes the first line of the docstring as the summary, and imports
the file only when the entry is asked for.
"""

import ast
import difflib
import importlib
import importlib.util
import re
import sys
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .errors import UserError

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")  # what can stand before a method's `+` and a data set's `@` and `:`
PLUGIN = "plugin_"  # begins the module names of plug-in files


def register(*names: str) -> Callable[[T], T]:
    """Enter the decorated class or function under `names`. A mark for `Registry`, which reads it without importing."""

    def mark(item: T) -> T:
        item.names = names  # type: ignore[attr-defined]
        return item

    return mark


def nearest(name: str, known: list[str]) -> str:
    """The end of an error message for a wrong name: the nearest right one, or all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


@dataclass(frozen=True)
class Entry:
    """One named thing: where it is defined and what it says of itself."""

    name: str
    file: Path
    module: str
    attribute: str
    summary: str

    @property
    def is_plugin(self) -> bool:
        """Whether its file is not the package's own."""
        return self.module.startswith(PLUGIN)

    def load(self) -> Any:
        """Import the file and return the class or function."""
        if self.is_plugin:
            return getattr(import_plugin(self.file), self.attribute)
        return getattr(importlib.import_module(self.module), self.attribute)


def import_plugin(file: Path) -> Any:
    """The module of a plug-in file, which is run once. Whatever it raises comes through; see `plugin_at_fault`."""
    name = _plugin_module(file)
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise UserError(f"--plugin {file}: not a Python file; its name must end in .py")
        sys.modules[name] = loaded = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(loaded)
        except BaseException:
            del sys.modules[name]  # no half of a module
            raise
    return sys.modules[name]


def _plugin_module(file: Path) -> str:
    """Two plug-ins in two folders may have one file name."""
    return f"{PLUGIN}{file.stem}_{zlib.crc32(bytes(file.absolute())):08x}"


def plugin_at_fault(error: BaseException) -> str | None:
    """`FILE, line N` of the plug-in whose code raised `error`, or whose class it speaks of; None where it is none's."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__", "").startswith(PLUGIN):
            return f"{frame.f_code.co_filename}, line {line}"
    # Nothing of its code ran: it cannot be constructed, or lacks what the harness asks of it.
    for name, module in list(sys.modules.items()):
        for kind in vars(module).values() if name.startswith(PLUGIN) else ():
            if isinstance(kind, type) and kind.__module__ == name and re.search(rf"\b{kind.__name__}\b", str(error)):
                return f"{module.__file__}, class {kind.__name__}"
    return None


class Registry:
    """The entries of one kind (`baseline`, `data set`) found in a package's folder and in plug-in files.

    Args:
        kind: the word for error messages.
        folder: where the package's files lie.
        package: the package's dotted name.
        base: the name of the base class whose subclasses belong here; how a plug-in file's entries are told apart.
    """

    def __init__(self, kind: str, folder: Path, package: str, base: str) -> None:
        self.kind, self.base = kind, base
        self.entries: dict[str, Entry] = {}
        for file in sorted(folder.glob("*.py")):
            self.add_file(file, f"{package}.{file.stem}")

    def add_file(self, file: Path, module: str | None = None) -> list[Entry]:
        """Enter what `file` registers for this kind; a plug-in when no `module` is given. Returns the new entries.

        Raises:
            UserError: no such file, not Python, or a name that is taken or cannot be part of a method or a data set's name.
        """
        file = file.absolute()  # a plug-in is read again later, perhaps from another folder
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"--plugin {file}: {error.strerror}") from error
        except SyntaxError as error:
            raise UserError(f"{file}, line {error.lineno or 1}: {error.msg}") from error
        except ValueError as error:  # not UTF-8; before Python 3.11.4, null bytes as well
            raise UserError(f"--plugin {file}: not a Python file ({error})") from error
        module = module or _plugin_module(file)
        found = []
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and any(ast.unparse(b).split(".")[-1] == self.base for b in node.bases):
                text = ast.get_docstring(node) or ""
                found += [
                    Entry(name, file, module, node.name, _summary(name, text)) for name in _registered_names(node, file)
                ]
        for entry in found:
            if not NAME.fullmatch(entry.name):
                raise UserError(
                    f"{file}: {self.kind} {entry.name!r}: a name is made of letters, digits, '.', '_' and '-'"
                )
            taken = self.entries.get(entry.name, entry)
            if (taken.file.resolve(), taken.attribute) != (file.resolve(), entry.attribute):
                raise UserError(
                    f"{file}: {self.kind} {entry.name!r} is taken by {taken.file}; register it under another name"
                )
            self.entries[entry.name] = entry
        return found

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.entries)

    def entry(self, name: str) -> Entry:
        """What stands under that name; nothing is imported.

        Raises:
            UserError: no such name; the message gives the nearest right one.
        """
        if name not in self.entries:
            raise UserError(f"no {self.kind} {name!r}; {nearest(name, self.names())}")
        return self.entries[name]

    def get(self, name: str) -> Any:
        """The class or function of that name; its file is imported now. Raises as `entry` does."""
        return self.entry(name).load()


def _registered_names(node: ast.ClassDef, file: Path) -> list[str]:
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).split(".")[-1] == "register":
            names = [getattr(argument, "value", None) for argument in mark.args]
            if not names or not all(isinstance(name, str) for name in names):
                raise UserError(f"{file}, line {mark.lineno}: the names in @register must be written out as texts")
            return [str(name) for name in names]
    return []


def _summary(name: str, docstring: str) -> str:
    """What a docstring says of one of several names (a sentence that begins with "`name`: "), or else its first line."""
    own = re.search(rf"`{re.escape(name)}`: (.*?)\.(?=\s|$)", docstring, re.DOTALL)
    return " ".join(own[1].split()) if own else docstring.partition("\n")[0]
