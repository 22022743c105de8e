"""What a leaderboard shows: TOML files in the `leaderboards` plugin folders, read strictly."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from ..identity import Json
from ..plugin_files import find_table, table_names
from ..text import did_you_mean
from ..thinking import ThinkingMode
from ..toml_table import TomlTable, read_toml
from .rows import Reported

RATES = ("off_target", "empty", "source_copy", "truncated", "thinking_off_target", "passage_copy", "length_ratio")
"""Metrics shown as diagnostics; lower is better in all of them."""

_KEYS = (
    *("name", "title", "description", "origin", "tasks", "metrics"),
    *("lower_is_better", "languages", "baseline", "protocol", "reported"),
)
_COUNTS = ("shots", "max_new_tokens", "max_thinking_tokens", "repeats")
_TEXTS = ("template", "variant", "system", "extract", "split", "on_overflow")
_PROTOCOL_KEYS = (*_COUNTS, *_TEXTS, "prompt_language", "thinking")
_NONE = "none"
"""In `[protocol]`: the setting must not have been made."""
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
    protocol: Mapping[str, Json] = field(default_factory=dict)
    """Fields of a Protocol that runs must have to be ranked, None for a setting that was not made; {}: as most have."""

    def position(self, task: str) -> int | None:
        """Return the index of the first pattern that takes `task` in, or None."""
        return next((index for index, pattern in enumerate(self.tasks) if fnmatchcase(task, pattern)), None)


def board_names() -> list[str]:
    """Return the names of all leaderboards in plugin folders and packages, sorted."""
    return table_names("leaderboards")


def find_board(name: str) -> BoardSpec:
    """Read the leaderboard called `name`, or the TOML file at that path.

    Raises UsageError with close names where there is none, and DataError for a file that is not a specification.
    """
    if name.endswith(".toml"):
        return read_board(Path(name))
    return read_board(find_table("leaderboards", "leaderboard", name))


def read_board(path: Path) -> BoardSpec:
    """Read a specification; DataError naming file, line and key for anything unknown or of the wrong type."""
    top = read_toml(path)
    top.allow(_KEYS)
    if (name := top.text("name")) != path.stem:
        what = f"the name {name!r} and the file {path.stem!r} differ"
        raise top.fault("name", what, hint="the name must be the file's stem")
    tasks = top.texts("tasks")
    return BoardSpec(
        name=name,
        title=top.text("title"),
        description=top.text("description"),
        origin=BoardOrigin(top.choice("origin", tuple(BoardOrigin))) if top.has("origin") else BoardOrigin.REAL,
        tasks=tasks,
        metrics=_read_metrics(top.table("metrics"), tasks) if top.has("metrics") else {},
        lower_is_better=frozenset((*RATES, *_lower_is_better(top))),
        languages=_read_languages(top),
        baseline=top.text("baseline") if top.has("baseline") else None,
        protocol=_read_protocol(top.table("protocol")) if top.has("protocol") else {},
        reported=tuple(_read_reported(each) for each in top.tables("reported")),
    )


def _lower_is_better(top: TomlTable) -> tuple[str, ...]:
    return top.texts("lower_is_better", least=0) if top.has("lower_is_better") else ()


def _read_metrics(table: TomlTable, tasks: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    families = [pattern.partition("/")[0] for pattern in tasks]
    for family in table.values:
        if not any(fnmatchcase(family, pattern) for pattern in families):
            hint = did_you_mean(family, families)
            raise table.fault(family, f"{family!r} is a family of none of the tasks", hint=hint)
    return {family: tuple(dict.fromkeys(table.texts(family))) for family in table.values}


def _read_languages(top: TomlTable) -> tuple[str, ...] | None:
    if not top.has("languages"):
        return None
    return tuple(dict.fromkeys(top.language("languages", word) for word in top.texts("languages")))


def _read_protocol(table: TomlTable) -> Mapping[str, Json]:
    """Read what runs must have been asked with; "none" is a setting that was not made."""
    table.allow(_PROTOCOL_KEYS)
    found: dict[str, Json] = {}
    for name in table.values:
        if name in _COUNTS:
            found[name] = table.count(name, least=0 if name == "shots" else 1)
        elif name == "thinking":
            word = table.choice(name, (*(each.value for each in ThinkingMode), _NONE))
            found[name] = None if word == _NONE else word
        else:
            word = table.text(name)
            known = name == "prompt_language" and word != _NONE
            found[name] = None if word == _NONE else table.language(name, word) if known else word
    return found


def _read_reported(table: TomlTable) -> Reported:
    table.allow(_REPORTED_KEYS)
    url = table.text("url") if table.has("url") else None
    if url is not None and not _LINK.fullmatch(url):
        raise table.fault("url", f"'url' must be a plain https address, got {url!r}")
    return Reported(claim=table.text("claim"), value=table.text("value"), source=table.text("source"), url=url)
