"""Registries: the baselines, data sets and suites by name.

A class is registered under one or more names by a decorator:

    @register("lstm", "gru")
    class Recurrent(Baseline):
        \"\"\"Frame embeddings through a recurrent layer, outputs averaged.\"\"\"

The project's own files are read as syntax trees, so that listing names imports neither torch nor pandas: the folder decides
the kind, and the class is imported and checked when it is asked for. A plug-in file is imported at once (see `plugins`).
"""

import ast
import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from .errors import UserError

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")  # must be distinct from a method's `+` and a data set's `@` and `:`


def register(*names: str) -> Callable[[T], T]:
    """Register the decorated class under `names`."""
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError('register takes one or more names as strings: @register("NAME")')

    def mark(item: T) -> T:
        item.registered_names = names  # type: ignore[attr-defined]
        return item

    return mark


def nearest(name: str, known: list[str]) -> str:
    """The end of an error message for an unknown name: the closest known name, or all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


@dataclass(frozen=True)
class Entry:
    """A registered class.

    Attributes:
        reads_order, uses_attributes, trunk: those of a baseline.
        settings: the keyword-only parameters of its `__init__` with their defaults; those of a baseline are its own settings.
    """

    name: str
    file: Path
    module: str
    attribute: str
    docstring: str
    reads_order: bool = False
    uses_attributes: bool = False
    trunk: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def summary(self) -> str:
        """One line: of a class with several names the sentence that begins with "`name`: ", else the docstring's first line."""
        own = re.search(rf"`{re.escape(self.name)}`: (.*?)\.(?=\s|$)", self.docstring, re.DOTALL)
        return " ".join(own[1].split()) if own else self.docstring.partition("\n")[0]

    @property
    def longer_names(self) -> dict[str, str]:
        """What may follow the name: the lines `PATTERN: meaning` of the docstring's section "Longer names"."""
        section = re.search(r"^Longer names:\n((?:    .*\n?)+)", self.docstring, re.MULTILINE)
        lines = re.findall(r"^    (\S+): (.*(?:\n     +.*)*)", section[1] if section else "", re.MULTILINE)
        return {pattern: " ".join(meaning.split()) for pattern, meaning in lines}


class Registry:
    """The classes of one kind, from a folder of the project and from plug-in files.

    Args:
        kind: the word for error messages, such as "baseline" or "data set".
        folder: the project's files of this kind.
        package: the dotted name of that folder.
        base: "module:Class", the base class of all entries. It is not imported until an entry is.
    """

    def __init__(self, kind: str, folder: Path, package: str, base: str) -> None:
        self.kind, self.base = kind, base
        self._folder, self._package = folder, package

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """By name. The project's files are read when they are first asked for: `bench --help` needs none of them."""
        found: dict[str, Entry] = {}
        for file in sorted(self._folder.glob("*.py")):
            self._add(entries_in_source(file, f"{self._package}.{file.stem}"), found)
        return found

    @property
    def base_name(self) -> str:
        """The base class without its module."""
        return self.base.partition(":")[2]

    def accepts(self, item: object) -> bool:
        """Whether `item` is a subclass of the base class. Imports nothing: a subclass has imported its base."""
        module, _, name = self.base.partition(":")
        base = getattr(sys.modules.get(module), name, None)
        return base is not None and isinstance(item, type) and issubclass(item, base)

    def add(self, entries: Iterable[Entry]) -> None:
        """Add all entries, or none.

        Raises:
            UserError: a name is taken, or cannot be part of a method or of a data set's name.
        """
        self._add(entries, self.entries)

    def _add(self, entries: Iterable[Entry], to: dict[str, Entry]) -> None:
        added: dict[str, Entry] = {}
        for entry in entries:
            if not NAME.fullmatch(entry.name):
                raise UserError(
                    f"{entry.file}: {self.kind} {entry.name!r}: a name begins with a letter or digit and consists of "
                    "letters, digits, '.', '_' and '-'"
                )
            taken = (to | added).get(entry.name, entry)
            if (taken.file.resolve(), taken.attribute) != (entry.file.resolve(), entry.attribute):
                raise UserError(
                    f"{entry.file}: {self.kind} {entry.name!r} is taken by {taken.file}; register another name"
                )
            added[entry.name] = entry
        to.update(added)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.entries)

    def entry(self, name: str) -> Entry:
        """The entry of that name. Imports nothing.

        Raises:
            UserError: no such name; the message gives the closest known one, and how to add one.
        """
        if name not in self.entries:
            raise UserError(f"no {self.kind} {name!r}; {nearest(name, self.names())} (add one with --plugin FILE.py)")
        return self.entries[name]

    def get(self, name: str) -> Any:
        """The class of that name. Its file is imported now.

        Raises:
            UserError: no such name, or the class is not a subclass of the registry's base class.
        """
        entry = self.entry(name)
        item = getattr(importlib.import_module(entry.module), entry.attribute)
        if not self.accepts(item):
            raise UserError(
                f"{entry.file}: class {entry.attribute} is registered as the {self.kind} {name!r} but is not a "
                f"subclass of {self.base_name}"
            )
        return item


def entries_in_source(file: Path, module: str) -> list[Entry]:
    """What the decorators in a file's source register. The file is not imported."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    return [
        Entry(
            name,
            file,
            module,
            node.name,
            ast.get_docstring(node) or "",
            _attribute(node, classes, "reads_order", False),
            _attribute(node, classes, "uses_attributes", False),
            _attribute(node, classes, "trunk", ""),
            settings,
        )
        for node in classes.values()
        for settings in [_settings_in_source(node, classes, file)]
        for name in _names_in_source(node, file)
    ]


def _attribute(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], name: str, default: T) -> T:
    """A class attribute, a literal, of a class or, where it has none, of its bases in the same file."""
    for statement in node.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            value: T = getattr(getattr(statement, "value", None), "value", default)
            return value
    inherited = (_attribute(base, classes, name, default) for base in _bases(node, classes))
    return next((value for value in inherited if value != default), default)


def _settings_in_source(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], file: Path) -> dict[str, Any]:
    """The keyword-only parameters of the `__init__` of a class or, where it has none, of its bases in the same file."""
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            names = [parameter.arg for parameter in statement.args.kwonlyargs]
            try:
                return dict(zip(names, map(_literal, statement.args.kw_defaults), strict=True))
            except ValueError:
                raise UserError(
                    f"{file}, line {statement.lineno}: write the defaults of keyword-only parameters as literals"
                ) from None
    return {
        name: default
        for base in reversed(_bases(node, classes))
        for name, default in _settings_in_source(base, classes, file).items()
    }


def _literal(default: ast.expr | None) -> Any:
    return inspect.Parameter.empty if default is None else ast.literal_eval(default)


def _bases(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> list[ast.ClassDef]:
    return [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]


def _names_in_source(node: ast.ClassDef, file: Path) -> list[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).split(".")[-1] == "register":
            names = [getattr(argument, "value", None) for argument in decorator.args]
            if not names or not all(isinstance(name, str) for name in names):
                raise UserError(f"{file}, line {decorator.lineno}: write the names in @register as string literals")
            return [str(name) for name in names]
    return []


def entries_of_class(item: type, file: Path, attribute: str) -> list[Entry]:
    """What the decorator of an imported class registers; `attribute` is its name in its module."""
    text = inspect.cleandoc(vars(item).get("__doc__") or "")
    names: tuple[str, ...] = vars(item)["registered_names"]
    order, attributes = getattr(item, "reads_order", False), getattr(item, "uses_attributes", False)
    trunk = getattr(item, "trunk", "")
    parameters = inspect.signature(item.__init__).parameters.values()  # type: ignore[misc]
    settings = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    return [Entry(name, file, item.__module__, attribute, text, order, attributes, trunk, settings) for name in names]
