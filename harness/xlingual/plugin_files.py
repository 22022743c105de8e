"""Where plugins are found: files in plugin folders, entry points of packages, and TOML files; none is imported here."""

import importlib
import importlib.metadata
import importlib.resources
import os
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from . import plugins
from .errors import UsageError
from .plugin_code import PluginCode, code_in
from .text import did_you_mean
from .toml_tasks import find_toml_tasks, load_toml_task

ENTRY_POINT_GROUP = "xlingual"


def plugin_stem(name: str) -> str:
    """Return a name as plugins go by it: `lm-eval` is `lm_eval`."""
    return name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class PluginOffer:
    """A file or an entry point that offers one plugin."""

    code: PluginCode
    load: Callable[[], object]
    is_file: bool

    @property
    def place(self) -> str:
        """Its file, or the package with the entry point."""
        return self.code.place


def find_plugins(kind: str) -> dict[str, list[PluginOffer]]:
    """Return what is offered of one kind of plugin, by name; more than one offer is an error of that name alone."""
    found: dict[str, list[PluginOffer]] = {}
    for folder in plugin_folders(kind):
        for module in pkgutil.iter_modules([str(folder)]):
            if not module.name.startswith("_"):
                found.setdefault(plugin_stem(module.name), []).append(_file_offer(kind, folder, module))
    for name, paths in find_toml_tasks(plugin_folders(kind)).items() if kind == "tasks" else ():
        found.setdefault(name, []).extend(_toml_offer(name, path) for path in paths)
    for point in entry_points(kind):
        name = plugin_stem(point.name.rpartition(".")[2])
        found.setdefault(name, []).append(PluginOffer(_point_code(point), point.load, is_file=False))
    return found


def _file_offer(kind: str, folder: Path, module: pkgutil.ModuleInfo) -> PluginOffer:
    file = folder / module.name / "__init__.py" if module.ispkg else folder / f"{module.name}.py"
    dotted = f"{plugins.__name__}.{kind.replace('/', '.')}.{module.name}"
    return PluginOffer(code_in(file), lambda: importlib.import_module(dotted), is_file=True)


def _toml_offer(name: str, path: Path) -> PluginOffer:
    dotted = f"{plugins.__name__}.tasks.{name}"
    return PluginOffer(code_in(path), lambda: load_toml_task(path, dotted), is_file=True)


def _point_code(point: importlib.metadata.EntryPoint) -> PluginCode:
    package = point.dist.name if point.dist is not None else point.module
    return PluginCode(place=f"package {package}, entry point {point.name}", folder=None, shipped=False)


def plugin_folders(kind: str) -> list[Path]:
    """Return the folders of one kind of plugin, ours first; UsageError if a folder of the user's holds none."""
    for word in filter(None, os.environ.get("XLINGUAL_PLUGINS", "").split(os.pathsep)):
        root = Path(word).expanduser()
        if not any((root / each).is_dir() for each in plugins.KINDS):
            raise UsageError(
                f"{word} holds none of the folders {', '.join(plugins.KINDS)}",
                where="$XLINGUAL_PLUGINS",
                hint=f"put task files into {root / 'tasks'}",
            )
    return [folder for root in plugins.__path__ if (folder := Path(root) / kind).is_dir()]


def plugin_tables(kind: str) -> dict[str, list[Path]]:
    """Return the TOML files of one kind of plugin, "leaderboards" or "models/recipes", by their stems."""
    found: dict[str, list[Path]] = {}
    for folder in plugin_folders(kind):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, []).append(path)
    return found


def find_table(kind: str, noun: str, name: str) -> Path:
    """Return the TOML file called `name` of one kind of plugin, from a plugin folder or a package's entry point.

    Raises UsageError, which calls such a file by its `noun`, where there is none or more than one.
    """
    files, points = plugin_tables(kind), [each for each in entry_points(kind) if each.name.endswith(f".{name}")]
    places = [*map(str, files.get(name, ())), *(_point_code(point).place for point in points)]
    if not places:
        raise UsageError(f"no such {noun}: {name!r}", hint=did_you_mean(name, table_names(kind)))
    if len(places) > 1:
        raise UsageError(f"the {noun} {name!r} is in {' and in '.join(places)}", hint="rename one of them")
    return files[name][0] if name in files else _point_file(points[0], name)


def table_names(kind: str) -> list[str]:
    """Return the names of all TOML files of one kind of plugin, sorted; none is read."""
    return sorted({*plugin_tables(kind), *(each.name.rpartition(".")[2] for each in entry_points(kind))})


def _point_file(point: importlib.metadata.EntryPoint, name: str) -> Path:
    """Return the file that an entry point names: PACKAGE (NAME.toml in it), PACKAGE:FILE.toml, or a function's path."""
    code = _point_code(point)
    with code.calling():
        if point.attr and not point.attr.endswith(".toml"):
            named = point.load()
            path = named() if callable(named) else named
        else:
            path = Path(str(importlib.resources.files(point.module))) / (point.attr or f"{name}.toml")
    if not isinstance(path, str | os.PathLike) or not Path(path).is_file():
        raise code.fault(f"names no file: {path!r}", hint="a package's TOML file, or a function that returns its path")
    return Path(path)


def entry_points(kind: str) -> list[importlib.metadata.EntryPoint]:
    """Return the entry points "tasks.NAME", "tasks.sources.NAME" of one kind; NAME holds no dot."""
    prefix = f"{kind.replace('/', '.')}."
    points = _installed_points(tuple(sys.path))
    return [each for each in points if each.name.startswith(prefix) and "." not in each.name.removeprefix(prefix)]


@lru_cache(maxsize=8)
def _installed_points(_path: tuple[str, ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
    """Return our entry points of all packages: reading those of every package takes tens of milliseconds."""
    return tuple(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))
