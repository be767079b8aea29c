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
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .errors import UserError

T = TypeVar("T")


def register(*names: str) -> Callable[[T], T]:
    """Enter the decorated class or function under `names`. A mark for `Registry`, which reads it without importing."""

    def mark(item: T) -> T:
        item.names = names  # type: ignore[attr-defined]
        return item

    return mark


def nearest(name: str, known: list[str]) -> str:
    """The end of an error message for a wrong name: the nearest right one, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


@dataclass(frozen=True)
class Entry:
    """One named thing: where it is defined and what it says of itself."""

    name: str
    file: Path
    module: str
    attribute: str
    summary: str

    def load(self) -> Any:
        """Import the file and return the class or function."""
        module = sys.modules.get(self.module) or _import(self.module, self.file)
        return getattr(module, self.attribute)


def _import(module: str, file: Path) -> Any:
    if not module.startswith("plugin_"):
        return importlib.import_module(module)
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise UserError(f"--plugin {file}: not a Python file")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    spec.loader.exec_module(loaded)
    return loaded


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
            UserError: no such file, not Python, or a name that is taken.
        """
        file = file.absolute()  # a plug-in is read again later, perhaps from another folder
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"--plugin {file}: {error.strerror}") from error
        except SyntaxError as error:
            raise UserError(f"{file}, line {error.lineno}: {error.msg}") from error
        module = module or f"plugin_{file.stem}"
        found = []
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and any(ast.unparse(b).split(".")[-1] == self.base for b in node.bases):
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                found += [Entry(name, file, module, node.name, summary) for name in _registered_names(node)]
        for entry in found:
            taken = self.entries.get(entry.name)
            if taken is not None and taken.file.resolve() != file.resolve():
                raise UserError(
                    f"{file}: {self.kind} {entry.name!r} is taken by {taken.file}; register it under another name"
                )
            self.entries[entry.name] = entry
        return found

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.entries)

    def get(self, name: str) -> Any:
        """The class or function of that name; its file is imported now.

        Raises:
            UserError: no such name; the message gives the nearest right one.
        """
        if name not in self.entries:
            raise UserError(f"no {self.kind} {name!r}; {nearest(name, self.names())}")
        return self.entries[name].load()


def _registered_names(node: ast.ClassDef) -> list[str]:
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).split(".")[-1] == "register":
            return [ast.literal_eval(argument) for argument in mark.args]
    return []
