"""Plugins by name: task families, model backends, readers of training text: a look-up imports one file, by its stem."""

import importlib
import importlib.metadata
import os
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Generic, TypeVar

from . import plugins
from .errors import UsageError
from .plugin import Asker, DataSource, Model, ModelOptions, Source, Task, TextSource
from .records import Corpus, Examples
from .text import did_you_mean

Item = TypeVar("Item")
ENTRY_POINT_GROUP = "xlingual"
PLUGIN_KINDS = ("tasks", "models", "leaderboards")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of tasks: one file, one task a language or direction."""

    name: str
    tasks: Callable[[], Iterator[Task]]
    default: tuple[str, ...]
    """Variants that the bare family name stands for, globs allowed."""
    scope: tuple[str, ...]
    """Variants that the bare family name stands for when languages are chosen, before they filter it."""
    find: Callable[[str], list[Task]] | None = None
    """Makes the tasks of a variant where a family is too large to list; UsageError where there are none."""


Opener = Callable[[str, ModelOptions], Model]
"""Opens the model that the words after `BACKEND:` name; weights are loaded at the first answer."""


@dataclass(frozen=True, slots=True)
class Registered(Generic[Item]):
    """An item and the module that registered it."""

    item: Item
    module: str


class Registry(Generic[Item]):
    """Items of one kind by name; a name is taken once, a miss says what is near."""

    def __init__(self, kind: str, noun: str) -> None:
        """`kind` is the plugin folder ("tasks", "tasks/sources"), `noun` what one item is called in messages."""
        self.kind = kind
        self.noun = noun
        self._items: dict[str, Registered[Item]] = {}

    def add(self, name: str, item: Item, module: str) -> None:
        """Take `name` for `item`; UsageError if another module has it."""
        present = self._items.get(name)
        if present is not None and present.module != module:
            raise UsageError(f"{self.noun} {name!r} is registered by {present.module} and by {module}")
        self._items[name] = Registered(item, module)

    def names(self) -> list[str]:
        """Return every name that a plugin file or entry point offers, sorted, without importing any."""
        return sorted({*_plugin_files(self.kind), *_entry_points(self.kind), *self._items})

    def get(self, name: str) -> Item:
        """Import the plugin `name` and return what it registered; UsageError with close names if there is none."""
        name = name.replace("-", "_")
        if name not in self._items:
            if name in _plugin_files(self.kind):
                importlib.import_module(f"{plugins.__name__}.{self.kind.replace('/', '.')}.{name}")
            elif name in (points := _entry_points(self.kind)):
                points[name].load()
            else:
                raise UsageError(f"no such {self.noun}: {name!r}", hint=did_you_mean(name, self.names()))
        if name not in self._items:
            raise UsageError(
                f"the plugin file {name!r} registers no {self.noun} of that name",
                where=f"{self.kind}/{name}",
                hint="the name given to the decorator must be the file's stem",
            )
        return self._items[name].item

    def origin(self, name: str) -> str:
        """Return the module that registered `name`, which must have been looked up before."""
        return self._items[name].module


TASKS: Registry[Family] = Registry("tasks", "task family")


MODELS: Registry[Opener] = Registry("models", "model backend")


SOURCES: Registry[Source] = Registry("tasks/sources", "reader of training text")


def register_task(
    name: str,
    *,
    default: tuple[str, ...] = ("*",),
    scope: tuple[str, ...] = ("*",),
    find: Callable[[str], list[Task]] | None = None,
) -> Callable[[Callable[[], Iterator[Task]]], Callable[[], Iterator[Task]]]:
    """Register the decorated function, which yields one task per language, as the family `name` (the file's stem).

    `find` makes the tasks of a variant where a family is too large to be listed; see `Family`.
    """

    def decorate(tasks: Callable[[], Iterator[Task]]) -> Callable[[], Iterator[Task]]:
        TASKS.add(name, Family(name=name, tasks=tasks, default=default, scope=scope, find=find), tasks.__module__)
        return tasks

    return decorate


_USES: dict[str, frozenset[str]] = {}


def register_model(name: str, *, uses: Iterable[str] | None = None) -> Callable[[Opener], Opener]:
    """Register the decorated function as the opener of models named `name` or `name:...` (the file's stem).

    `uses` names the fields of ModelOptions that the backend can use; a user who sets another one is told so. None: the
    opener sees to it itself. Raises UsageError for a name that is no field.
    """
    known = {each.name for each in fields(ModelOptions)}
    if wrong := sorted(set(uses or ()) - known):
        raise UsageError(
            f"{wrong[0]!r} is no option of models", where=f"models/{name}", hint=did_you_mean(wrong[0], known)
        )

    def decorate(opener: Opener) -> Opener:
        MODELS.add(name, opener, opener.__module__)
        if uses is not None:
            _USES[name] = frozenset(uses)
        return opener

    return decorate


def used_options(name: str) -> frozenset[str] | None:
    """Return the fields of ModelOptions that the backend `name` uses; None where it has not said, or was not asked for.

    The backend must have been looked up before.
    """
    return _USES.get(name.replace("-", "_"))


Reader = Callable[[Corpus, DataSource], Examples]


def register_source(name: str, *, ask: Asker) -> Callable[[Reader], Reader]:
    """Register the decorated function, which reads a corpus, as the source `name` (the file's stem).

    `ask` says what to ask for each of its examples.
    """

    def decorate(read: Reader) -> Reader:
        SOURCES.add(name, TextSource(read=read, ask=ask), read.__module__)
        return read

    return decorate


def plugin_folders(kind: str) -> list[Path]:
    """Return the folders of one kind of plugin, ours first; UsageError if a folder of the user's holds none."""
    for word in filter(None, os.environ.get("XLINGUAL_PLUGINS", "").split(os.pathsep)):
        root = Path(word).expanduser()
        if not any((root / each).is_dir() for each in PLUGIN_KINDS):
            raise UsageError(
                f"{word} holds none of the folders {', '.join(PLUGIN_KINDS)}",
                where="$XLINGUAL_PLUGINS",
                hint=f"put task files into {root / 'tasks'}",
            )
    return [folder for root in plugins.__path__ if (folder := Path(root) / kind).is_dir()]


def plugin_tables(kind: str, noun: str) -> dict[str, Path]:
    """Return the TOML files of one kind of plugin, "leaderboards" or "models/recipes", by their stems.

    Raises UsageError, which calls such a file by its `noun`, where two have one name.
    """
    found: dict[str, Path] = {}
    for folder in plugin_folders(kind):
        for path in sorted(folder.glob("*.toml")):
            if path.stem in found:
                raise UsageError(f"the {noun} {path.stem!r} is in {found[path.stem].parent} and in {folder}")
            found[path.stem] = path
    return found


def _plugin_files(kind: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in plugin_folders(kind):
        for module in pkgutil.iter_modules([str(folder)]):
            if module.name.startswith("_"):
                continue
            if module.name in found:
                raise UsageError(f"the plugin {module.name!r} is in {found[module.name]} and in {folder}", where=kind)
            found[module.name] = folder
    return found


def _entry_points(kind: str) -> dict[str, importlib.metadata.EntryPoint]:
    """Return the entry points "tasks.NAME", "tasks.sources.NAME" of one kind by NAME, which holds no dot."""
    prefix = f"{kind.replace('/', '.')}."
    points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    named = {point.name.removeprefix(prefix): point for point in points if point.name.startswith(prefix)}
    return {name: point for name, point in named.items() if "." not in name}
