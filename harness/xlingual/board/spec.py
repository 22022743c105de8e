"""What a leaderboard shows: TOML files in the `leaderboards` plugin folders, read strictly."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import DataError, UsageError
from ..languages import find_language
from ..registry import plugin_folders
from ..text import did_you_mean
from .rows import Reported

RATES = ("off_target", "empty", "source_copy", "truncated")
"""Metrics shown as diagnostics; lower is better in all of them."""

_KEYS = (
    *("name", "title", "description", "origin", "tasks", "metrics"),
    *("lower_is_better", "languages", "baseline", "reported"),
)
_REPORTED_KEYS = ("claim", "value", "source", "url")
_LINK = re.compile(r"https://[A-Za-z0-9.-]+(/[A-Za-z0-9._~/?#=&%+-]*)?")


class BoardOrigin(StrEnum):
    """Which runs a board takes: those on real data, or those on the packaged sample; never both."""

    REAL = "real"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSpec:
    """What one leaderboard shows."""

    name: str
    title: str
    description: str
    origin: BoardOrigin
    tasks: tuple[str, ...]
    """Globs over task names: "xquad/*", "mlqa/??"; their order is that of the tables."""
    metrics: Mapping[str, tuple[str, ...]]
    """By family, one table each; a family that is not named is shown by the main metric of its runs."""
    lower_is_better: frozenset[str]
    """Metrics that rank upwards from zero, the RATES included."""
    languages: tuple[str, ...] | None
    """Only tasks scored in these languages, in this order; None: all, in alphabetical order."""
    baseline: str | None
    """Name of the model that relative gains are measured against."""
    reported: tuple[Reported, ...]

    def position(self, task: str) -> int | None:
        """Return the index of the first pattern that takes `task` in, or None."""
        return next((index for index, pattern in enumerate(self.tasks) if fnmatchcase(task, pattern)), None)


def board_names() -> list[str]:
    """Return the names of all leaderboards in the plugin folders, sorted."""
    return sorted(_board_files())


def find_board(name: str) -> BoardSpec:
    """Read the leaderboard called `name`, or the TOML file at that path.

    Raises UsageError with close names where there is none, and DataError for a file that is not a specification.
    """
    if name.endswith(".toml"):
        return read_board(Path(name))
    files = _board_files()
    if name not in files:
        raise UsageError(f"no such leaderboard: {name!r}", hint=did_you_mean(name, sorted(files)))
    return read_board(files[name])


def read_board(path: Path) -> BoardSpec:
    """Read a specification; DataError naming the file and the key for anything unknown or of the wrong type."""
    try:
        table: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except ValueError as error:
        raise DataError(f"is not TOML in UTF-8: {error}", where=str(path)) from error
    _refuse_unknown(table, _KEYS, str(path))
    reader = _BoardReader(table, str(path))
    if (name := reader.text("name")) != path.stem:
        raise reader.fault("name", f"is {name!r}, the file is {path.stem!r}", hint="the name must be the file's stem")
    tasks = reader.texts("tasks")
    if not tasks:
        raise reader.fault("tasks", "is empty", hint='name tasks by globs, such as "xquad/*"')
    return BoardSpec(
        name=name,
        title=reader.text("title"),
        description=reader.text("description"),
        origin=_read_origin(reader),
        tasks=tasks,
        metrics=_read_metrics(reader, tasks),
        lower_is_better=frozenset((*RATES, *reader.texts("lower_is_better", optional=True))),
        languages=_read_languages(reader),
        baseline=reader.text("baseline") if "baseline" in table else None,
        reported=_read_reported(reader),
    )


@dataclass(frozen=True, slots=True)
class _BoardReader:
    """A TOML table and the words for complaints about it."""

    table: Mapping[str, object]
    where: str

    def fault(self, key: str, what: str, *, hint: str = "") -> DataError:
        return DataError(f"{key!r} {what}", where=self.where, hint=hint)

    def text(self, key: str) -> str:
        value = self.table.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.fault(key, "must be a text" if key in self.table else "is missing")
        return value

    def texts(self, key: str, *, optional: bool = False) -> tuple[str, ...]:
        if optional and key not in self.table:
            return ()
        value = self.table.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fault(key, "must be a list of texts" if key in self.table else "is missing")
        return tuple(value)


def _refuse_unknown(table: Mapping[str, object], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise DataError(f"unknown key {key!r}", where=where, hint=did_you_mean(key, known))


def _read_origin(reader: _BoardReader) -> BoardOrigin:
    word = reader.text("origin") if "origin" in reader.table else BoardOrigin.REAL.value
    if word not in tuple(BoardOrigin):
        raise reader.fault("origin", f"is {word!r}", hint=f"one of {', '.join(BoardOrigin)}")
    return BoardOrigin(word)


def _read_metrics(reader: _BoardReader, tasks: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    table = reader.table.get("metrics", {})
    if not isinstance(table, dict):
        raise reader.fault("metrics", 'must be a table, such as xquad = "containment"')
    metrics: dict[str, tuple[str, ...]] = {}
    families = [pattern.partition("/")[0] for pattern in tasks]
    for family, value in table.items():
        if not any(fnmatchcase(family, pattern) for pattern in families):
            hint = did_you_mean(family, families)
            raise reader.fault(f"metrics.{family}", "is a family of none of the tasks", hint=hint)
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise reader.fault(f"metrics.{family}", "must be the name of a metric, or a list of names")
        metrics[family] = tuple(dict.fromkeys(names))
    return metrics


def _read_languages(reader: _BoardReader) -> tuple[str, ...] | None:
    if "languages" not in reader.table:
        return None
    try:
        return tuple(dict.fromkeys(find_language(word).code for word in reader.texts("languages")))
    except UsageError as error:
        raise reader.fault("languages", f"names {error.what}", hint=error.hint) from error


def _read_reported(reader: _BoardReader) -> tuple[Reported, ...]:
    entries = reader.table.get("reported", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise reader.fault("reported", "must be written as [[reported]] tables")
    figures = []
    for number, entry in enumerate(entries, start=1):
        where = f"{reader.where}: [[reported]] {number}"
        _refuse_unknown(entry, _REPORTED_KEYS, where)
        fields = _BoardReader(entry, where)
        url = fields.text("url") if "url" in entry else None
        if url is not None and not _LINK.fullmatch(url):
            raise fields.fault("url", "must be a plain https address")
        figures.append(
            Reported(claim=fields.text("claim"), value=fields.text("value"), source=fields.text("source"), url=url)
        )
    return tuple(figures)


def _board_files() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in plugin_folders("leaderboards"):
        for path in sorted(folder.glob("*.toml")):
            if path.stem in found:
                raise UsageError(f"the leaderboard {path.stem!r} is in {found[path.stem].parent} and in {folder}")
            found[path.stem] = path
    return found
